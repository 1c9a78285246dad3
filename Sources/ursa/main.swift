print("ursa")
