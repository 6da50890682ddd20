//! A proof, as a person reads it on a terminal.

use console::{Style, style};
use kiln_model::{
    Cause, ComparedArtifact, Comparison, Differences, DifferingFile, Match, Proof, Variation,
    Verdict,
};

use crate::Failure;

/// How many lines of a difference are shown; the report has all.
const LINES: usize = 12;

/// How many files of a package are shown.
const FILES: usize = 10;

/// Prints it.
pub(crate) fn print(proof: &Proof) {
    let looks = match proof.verdict {
        Verdict::Reproduced => Style::new().green(),
        Verdict::Equivalent => Style::new().yellow(),
        _ => Style::new().red(),
    };
    println!("{}: {}", looks.bold().apply_to(proof.verdict.word()), proof.verdict.meaning());
    if let Some(report) = &proof.trouble {
        Failure(report.clone()).tell();
    }
    if let Some(comparison) = &proof.comparison {
        compared(comparison);
    }
    let words = |variations: &[Variation]| -> String {
        variations.iter().map(|one| one.word()).collect::<Vec<_>>().join(", ")
    };
    if proof.is_unstable {
        println!("it differs from one time to the next, with nothing made different around it");
    }
    let differs = proof.comparison.is_some() && proof.verdict != Verdict::Reproduced;
    let all = proof.varied.iter().count() == Variation::ALL.len();
    if differs && all && proof.culprits.is_empty() && !proof.is_unstable {
        println!("no one thing makes the difference on its own");
    }
    if !proof.culprits.is_empty() {
        println!("what makes the difference: {}", style(words(&proof.culprits)).bold());
    }
    if !proof.varied.is_none() && proof.verdict == Verdict::Reproduced {
        let varied: Vec<Variation> = proof.varied.iter().collect();
        println!("with another {}", words(&varied));
    }
}

fn compared(comparison: &Comparison) {
    for artifact in &comparison.artifacts {
        let word = match artifact.state {
            Match::Same => style("same").green(),
            Match::Equivalent => style("equivalent").yellow(),
            Match::Differs => style("differs").red(),
            Match::Missing => style("missing").red(),
            Match::Extra => style("extra").red(),
        };
        println!("  {word:<10} {}", artifact.name);
        if let Some(found) = &artifact.differences {
            differing(artifact, found);
        }
    }
    if let Some(logs) = &comparison.logs {
        println!("  the logs differ as well:");
        lines(&logs.diff, "    ");
    }
}

fn differing(artifact: &ComparedArtifact, found: &Differences) {
    if let (Some(old), Some(new)) = (artifact.original, artifact.rebuilt) {
        println!("    {} as built, {} rebuilt", old.short(), new.short());
    }
    if let Some(first) = found.layers.first() {
        println!("    first in {}", first.name());
    }
    for tag in &found.tags {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "missing".to_owned());
        println!("    tag {}: {} | {}", tag.name, side(&tag.original), side(&tag.rebuilt));
    }
    for file in found.files.iter().take(FILES) {
        print_file(file);
    }
    if found.files.len() > FILES {
        println!("    and {} more files: see --json or --report", found.files.len() - FILES);
    }
    for what in &found.left_out {
        println!("    not looked into: {what}");
    }
    for Cause { kind, evidence } in &found.causes {
        println!("    probably {}:", style(kind.name()).bold());
        for one in evidence.iter().take(1) {
            println!("      {}: {} | {}", one.place, one.original, one.rebuilt);
        }
    }
}

fn print_file(file: &DifferingFile) {
    println!("    {}", file.path);
    for value in &file.metadata {
        println!("      {}: {} | {}", value.what, value.original, value.rebuilt);
    }
    for content in &file.content {
        let place = match content.place.is_empty() {
            true => String::new(),
            false => format!("{}: ", content.place),
        };
        match content.original.is_empty() && content.rebuilt.is_empty() {
            true => println!("      {place}{}", content.what),
            false => println!(
                "      {place}{}: {} | {}",
                content.what, content.original, content.rebuilt
            ),
        }
        lines(&content.diff, "        ");
    }
}

fn lines(diff: &str, before: &str) {
    let count = diff.lines().count();
    for line in diff.lines().take(LINES) {
        let looks = match line.chars().next() {
            Some('-') => Style::new().red(),
            Some('+') => Style::new().green(),
            _ => Style::new().dim(),
        };
        println!("{before}{}", looks.apply_to(line));
    }
    if count > LINES {
        println!("{before}and {} more lines: see --json or --report", count - LINES);
    }
}
