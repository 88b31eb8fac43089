//! From the command line to the exit code.

use std::ffi::OsString;
use std::sync::Arc;

use treekill::common::{print_help, usage_error};
use treekill::exec::{become_command, failure_code, failure_words};

use crate::cli::{Invocation, Plan, is_once, parse};
use crate::exit::Exit;
use crate::probe::Shared;
use crate::report::Report;
use crate::tls::Tls;
use crate::wait::wait;

/// Does what the command line asks for; becomes COMMAND if there is one and all is well.
pub(crate) fn run(arguments: Vec<OsString>) -> Exit {
    let once = is_once(&arguments);
    let exit = match parse(arguments).and_then(prepare) {
        Ok(Prepared::Show(text)) => {
            print_help(&text);
            Exit::Healthy
        }
        Ok(Prepared::Wait(plan, shared)) => carry_out(&plan, &shared),
        Err(why) => {
            usage_error("waithealth", &why);
            Exit::Usage
        }
    };
    if once && exit != Exit::Healthy {
        return Exit::Unhealthy;
    }
    exit
}

enum Prepared {
    Show(String),
    Wait(Box<Plan>, Arc<Shared>),
}

/// Reads the files that the command line names.
fn prepare(invocation: Invocation) -> Result<Prepared, String> {
    let mut plan = match invocation {
        Invocation::Show(text) => return Ok(Prepared::Show(text)),
        Invocation::Wait(plan) => plan,
    };
    if cfg!(not(feature = "tls")) {
        if let Some(target) = plan.targets.iter().find(|target| target.is_https()) {
            return Err(format!("{}: built without TLS", target.label));
        }
    }
    let request = std::mem::take(&mut plan.request);
    let tls = Tls::new(&request)?;
    Ok(Prepared::Wait(plan, Arc::new(Shared { request, tls })))
}

fn carry_out(plan: &Plan, shared: &Arc<Shared>) -> Exit {
    let mut report = Report::new(plan);
    let exit = wait(plan, shared, &mut report);
    if exit != Exit::Healthy {
        return exit;
    }
    if let Some((program, arguments)) = plan.command.split_first() {
        let error = become_command(program, arguments);
        report.words.say(failure_words(program, &error));
        return Exit::Exec(failure_code(&error));
    }
    match report.check() {
        Ok(()) => exit,
        Err(error) => {
            let why = treekill::exec::os_words(&error);
            report.words.fail(format_args!("standard output: {why}"));
            Exit::Usage
        }
    }
}
