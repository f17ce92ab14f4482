//! Maps an outcome to an exit status.

fn main() -> std::process::ExitCode {
    skewer::cli::run().into()
}
