/// The version of the command line and of everything it is built from; the only place that names it.
let ursaVersion = "0.1.0"
