import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa firewall apply`
struct ApplyFirewall: Verb {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Make zones, policies, rules and admins of ursa.yaml so.",
        discussion: """
            Networks, uplinks and forwards stay as they are; `ursa net apply` is for
            all of them. It refuses to cut the session that you type it in, unless
            --confirm is given.

            Example:
              ursa firewall apply --confirm 60s && ursa net confirm
            """)

    @OptionGroup var spec: SpecFile
    @OptionGroup var confirm: ConfirmOption
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let wanted = try spec.read()
        var options = ApplyOptions()
        options.part = .firewall
        options.confirm = try confirm.seconds()
        options.what = "ursa firewall apply -f \(spec.project)"
        try NetworkChange.apply(wanted, spec, options, output)
    }
}

/// `ursa firewall try`
struct TryFirewall: Verb {
    static let configuration = CommandConfiguration(
        commandName: "try",
        abstract: "Apply zones, policies and rules for a while.",
        discussion: """
            After the time the former ones come back, whatever happens to this
            terminal, unless `ursa net confirm` keeps the new ones.

            Example:
              ursa firewall try 60s
            """)

    @Argument(help: ArgumentHelp("How long.", valueName: "time"))
    var time = TimeSpan(60)
    @OptionGroup var spec: SpecFile
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let seconds = try ConfirmOption.checked(time, "TIME")
        let wanted = try spec.read()
        var options = ApplyOptions()
        options.part = .firewall
        options.confirm = seconds
        options.what = "ursa firewall try -f \(spec.project)"
        try NetworkChange.apply(wanted, spec, options, output)
    }
}
