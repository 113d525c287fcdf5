//! `faultline configuration`: what can be set.

use super::Exit;
use crate::config::reference;

/// Prints every setting of `faultline.yaml` with its default.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How: a Markdown table, or a JSON Schema for editors.
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Form::Table)]
    form: Form,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    Table,
    Json,
}

pub fn run(args: &Args) -> Exit {
    match args.form {
        Form::Table => print!("{}", reference::table()),
        Form::Json => println!("{:#}", reference::schema()),
    }
    Exit::Fine
}
