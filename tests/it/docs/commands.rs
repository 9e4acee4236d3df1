//! Every command line of ringback in the documentation is one that the program understands.

use clap::Command;
use clap::error::ErrorKind;
use ringback::command::command_line;

use super::markdown::{Block, pages};

/// The simple commands of a shell script, as words. Knows quotes, comments, continued lines, pipes and redirections; a
/// substitution within quotes is part of its word.
fn simple_commands(script: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                text.extend(chars.by_ref().take_while(|inside| *inside != c));
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' | '|' | '&' | '(' | ')' | '<' | '>' => {
                // In `2>` the number is no argument.
                word.take_if(|word| c == '>' && word.parse::<u8>().is_ok());
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
                // The file of a redirection is no command; `<(` begins one.
                if matches!(c, '<' | '>') && chars.peek() != Some(&'(') {
                    words.push(String::from(REDIRECTION));
                }
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    commands.push(words);
    commands
}

/// Stands before what follows a redirection.
const REDIRECTION: &str = ">";

fn is_ringback(word: &str) -> bool {
    word.rsplit('/').next() == Some("ringback")
}

/// The arguments if this runs ringback: directly, with `cargo run --`, or in a container after `--`.
fn arguments(words: &[String]) -> Option<&[String]> {
    let is_setting = |word: &&String| word.contains('=') && !word.starts_with('-');
    let words = &words[words.iter().take_while(is_setting).count()..];
    let dashes = words.iter().position(|word| word == "--");
    let behind = dashes.map_or(&[][..], |at| &words[at + 1..]);
    match (words.first()?.as_str(), words.get(1)) {
        (first, _) if is_ringback(first) => Some(&words[1..]),
        // Without `--` it has no arguments for ringback, or runs an example.
        ("cargo", Some(run)) if run == "run" => dashes.map(|_| behind),
        _ if is_ringback(behind.first()?) => Some(&behind[1..]),
        _ => None,
    }
}

/// What a reader types: in a `console` block only what follows a prompt.
fn script(block: &Block) -> Option<String> {
    let typed = |line: &str| line.strip_prefix("$ ").map(str::to_owned);
    match block.language.as_str() {
        "sh" | "bash" => Some(block.text.clone()),
        "console" => {
            let whole = block.text.replace("\\\n", " ");
            let lines: Vec<_> = whole.lines().filter_map(typed).collect();
            Some(lines.join("\n"))
        }
        _ => None,
    }
}

/// Why clap refuses these arguments.
fn fault(arguments: &[String]) -> Option<String> {
    let words = std::iter::once("ringback").chain(arguments.iter().map(String::as_str));
    let error = command_line().try_get_matches_from(words).err()?;
    let is_asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    (!is_asked).then(|| {
        format!(
            "`ringback {}`: {}",
            arguments.join(" "),
            error.to_string().trim_end()
        )
    })
}

#[test]
fn every_command_of_a_block_parses() {
    let (mut seen, mut faults) = (0, Vec::new());
    for page in pages() {
        for block in &page.blocks {
            let commands = script(block).map_or_else(Vec::new, |text| simple_commands(&text));
            for words in &commands {
                let Some(arguments) = arguments(words) else {
                    continue;
                };
                seen += 1;
                if let Some(fault) = fault(arguments) {
                    faults.push(format!("{}:{}: {fault}", page.name(), block.line));
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} commands were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The command or option in the span `ringback …` that does not exist. `a|b` are alternatives.
fn unknown(span: &str) -> Option<String> {
    let mut command = command_line();
    command.build();
    let mut inner: Vec<&Command> = vec![&command];
    for word in span.split_whitespace().skip(1) {
        if let Some(option) = word.strip_prefix("--") {
            let name = option.split('=').next().expect("a split has a first part");
            let has = |command: &&Command| {
                let mut options = command.get_arguments();
                options.any(|argument| argument.get_long() == Some(name))
            };
            if !name.is_empty() && name != "version" && !inner.iter().any(has) {
                return Some(word.to_owned());
            }
        } else if word.starts_with(|c: char| c.is_ascii_lowercase()) {
            let has_commands = inner.iter().any(|command| command.has_subcommands());
            if !has_commands {
                continue;
            }
            let names: Vec<_> = word
                .split(['|', '\\'])
                .filter(|name| !name.is_empty())
                .collect();
            let find = |name: &&str| inner.iter().find_map(|inner| inner.find_subcommand(name));
            if let Some(unknown) = names.iter().find(|name| find(name).is_none()) {
                return Some((*unknown).to_owned());
            }
            inner = names.iter().filter_map(find).collect();
        }
    }
    None
}

#[test]
fn every_command_in_a_sentence_has_names_that_exist() {
    let (mut seen, mut faults) = (0, Vec::new());
    for page in pages() {
        for span in page.spans() {
            if span.text.starts_with("ringback ") {
                seen += 1;
                if let Some(unknown) = unknown(span.text) {
                    faults.push(format!("{}:{}: {unknown}", page.name(), span.line));
                }
            }
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
    assert!(
        faults.is_empty(),
        "these do not exist:\n{}",
        faults.join("\n")
    );
}

/// Checks the examples in the help of `command`, named `path`, and below; gives their number.
fn check_examples(command: &Command, path: &str) -> usize {
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let examples = help.lines().filter(|line| line.starts_with("  "));
    let mut seen = 0;
    for example in examples {
        // A description stands in a column of its own.
        let line = example.trim().split("  ").next().unwrap_or_default();
        for words in simple_commands(line) {
            if let Some(arguments) = arguments(&words) {
                seen += 1;
                let fault = fault(arguments);
                assert!(fault.is_none(), "{path}: {}", fault.unwrap_or_default());
            }
        }
    }
    let inner = command.get_subcommands();
    seen + inner
        .map(|inner| check_examples(inner, &format!("{path} {}", inner.get_name())))
        .sum::<usize>()
}

#[test]
fn every_example_of_a_help_text_parses() {
    let seen = check_examples(&command_line(), "ringback");
    assert!(seen > 30, "only {seen} examples were found");
}

#[test]
fn commands_are_found_as_people_write_them() {
    let script = "A=1 ringback dev --port 0 # try\ncargo run --release -- dev && x/ringback check \\\n  -c a.toml | jq '.[] | b' 2>&1 >ringback\n\
                  kubectl exec r-0 -- ringback journal status\ncat <(ringback serve --config \"a b\")\necho ringback x\ncargo run --example b";
    let commands = simple_commands(script);
    let found: Vec<_> = commands
        .iter()
        .filter_map(|words| arguments(words))
        .collect();
    let expected: [&[&str]; 5] = [
        &["dev", "--port", "0"],
        &["dev"],
        &["check", "-c", "a.toml"],
        &["journal", "status"],
        &["serve", "--config", "a b"],
    ];
    assert_eq!(found, expected);
    assert_eq!(unknown("ringback journal status\\|dump --path DIR"), None);
    assert_eq!(unknown("ringback jurnal"), Some(String::from("jurnal")));
    let option = unknown("ringback check --confg FILE");
    assert_eq!(option, Some(String::from("--confg")));
}
