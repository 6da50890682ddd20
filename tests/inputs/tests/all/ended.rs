//! A kiln that is ended while it works, at any moment: nothing of it runs on, the next build is
//! fine, and then nothing of it lies about.

use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use kiln_inputs::Kiln;
use rustix::process::{Pid, Signal, kill_process};

const SIGNALS: [(Signal, &str); 4] = [
    (Signal::INT, "SIGINT"),
    (Signal::TERM, "SIGTERM"),
    (Signal::HUP, "SIGHUP"),
    (Signal::KILL, "SIGKILL"),
];

fn kiln() -> Option<Kiln> {
    Kiln::or_skip(env!("CARGO_BIN_EXE_kiln-inputs"))
}

/// Ends a build after a time, and looks what is left of it.
fn end_after(kiln: &Kiln, delay: Duration, signal: Signal, name: &str) {
    let source = kiln.package("ended", "for i in 1 2 3; do sleep 0.1; echo $i; done");
    let send = |child: &Child| {
        // Moments are what this is about: there is nothing to wait for.
        sleep(delay);
        let pid = Pid::from_raw(child.id().try_into().expect("an id")).expect("not 0");
        let _ = kill_process(pid, signal);
    };
    let after = format!("{name} after {delay:?}");
    let ran = kiln.run_with(&mut kiln.build_command(&source, &[]), send);
    let is_known = match (ran.code, ran.signal) {
        // It had ended before, or was ended in good order.
        (Some(0 | 130), _) => true,
        // It could not help it, or was not yet listening.
        (None, Some(_)) => signal == Signal::KILL || ran.wall < delay + Duration::from_millis(500),
        _ => false,
    };
    assert!(is_known, "{after}: {ran}");
    kiln.assert_nobody_left(&after);
    if signal != Signal::KILL && ran.code.is_some() {
        kiln.assert_nothing_left(&after);
    }
}

fn at_many_moments(kiln: &Kiln, points: u32, is_cold: bool) {
    let whole = match is_cold {
        true => {
            let whole = kiln.build(&kiln.package("good", "true"), &[]).built().wall;
            forget_layers(kiln);
            whole
        }
        false => {
            kiln.assert_builds();
            kiln.build(&kiln.package("good", "true"), &[]).built().wall
        }
    } + Duration::from_millis(300);
    for point in 0..points {
        let (signal, name) = SIGNALS[point as usize % SIGNALS.len()];
        end_after(kiln, whole * point / points, signal, name);
        if is_cold {
            forget_layers(kiln);
        } else {
            kiln.assert_builds();
        }
    }
    kiln.assert_builds();
}

fn forget_layers(kiln: &Kiln) {
    let ran = kiln.run(&mut kiln.command(&["cache", "gc", "--unused", "0"]));
    ran.built();
}

#[test]
fn a_warm_build_can_be_ended_at_any_moment() {
    let Some(kiln) = kiln() else { return };
    at_many_moments(&kiln, 8, false);
}

#[test]
fn a_buildroot_can_be_left_half_made() {
    let Some(kiln) = kiln() else { return };
    at_many_moments(&kiln, 8, true);
}

#[test]
#[ignore = "slow: twenty-five moments for each of four signals"]
fn a_warm_build_can_be_ended_at_a_hundred_moments() {
    let Some(kiln) = kiln() else { return };
    at_many_moments(&kiln, 100, false);
}

#[test]
#[ignore = "slow: a buildroot is made anew for each of fifty moments"]
fn a_buildroot_can_be_left_half_made_at_fifty_moments() {
    let Some(kiln) = kiln() else { return };
    at_many_moments(&kiln, 50, true);
}

#[test]
fn a_second_interrupt_ends_kiln_at_once() {
    let Some(kiln) = kiln() else { return };
    kiln.assert_builds();
    let source = kiln.package("stubborn", "trap '' INT TERM; sleep 1000");
    let send = |child: &Child| {
        let pid = Pid::from_raw(child.id().try_into().expect("an id")).expect("not 0");
        sleep(Duration::from_millis(1500));
        for _ in 0..3 {
            let _ = kill_process(pid, Signal::INT);
            sleep(Duration::from_millis(5));
        }
    };
    let ran = kiln.run_with(&mut kiln.build_command(&source, &[]), send);
    assert!(ran.code == Some(130) && ran.wall < Duration::from_secs(10), "{ran}");
    kiln.assert_nobody_left("three interrupts");
    kiln.assert_builds();
    assert_eq!(kiln.left(), Vec::<String>::new());
}
