//! The questions, a line each. Nothing but reading and writing lines: that works on every terminal and with a screen reader, and
//! Ctrl-C leaves nothing to restore.

use std::io::{BufRead, Write};

use super::InitError;
use super::answers::{
    Answers, DEFAULT_BROKERS, DEFAULT_HEADER, DEFAULT_MECHANISM, DEFAULT_PASSWORD, DEFAULT_PATH,
    DEFAULT_SECURITY, DEFAULT_SENDER, DEFAULT_USER, Scheme,
};
use super::file;
use crate::command::render::printable;
use crate::command::sender::PresetName;
use crate::command::terminal::fitted;

/// Asks for everything that no flag says, in lines that fit the terminal's `columns`.
pub fn complete(
    answers: &mut Answers,
    input: &mut impl BufRead,
    output: &mut impl Write,
    columns: Option<usize>,
) -> Result<(), InitError> {
    let mut ask = Ask {
        answers,
        input,
        output,
        columns,
    };
    ask.say("Enter takes what stands in brackets. Ctrl-C ends it, and nothing is written.")?;
    ask.say("")?;
    ask.sender()?;
    ask.kafka()?;
    ask.machine()
}

struct Ask<'a, I, O> {
    answers: &'a mut Answers,
    input: &'a mut I,
    output: &'a mut O,
    columns: Option<usize>,
}

impl<I: BufRead, O: Write> Ask<'_, I, O> {
    fn sender(&mut self) -> Result<(), InitError> {
        if !self.answers.has_sender() {
            let known = PresetName::known().join(", ");
            self.say(&format!("Known senders: {known}."))?;
            self.say("Any other by its scheme: hmac, bearer, basic; or none, which accepts events from anybody.")?;
            self.required(
                "Who sends the webhooks?",
                DEFAULT_SENDER,
                Answers::set_sender,
            )?;
        }
        if self.answers.path.is_none() {
            let question = "The path of the URL that the sender is given?";
            self.required(question, DEFAULT_PATH, |answers, path| {
                answers.path = Some(path);
            })?;
        }
        let quoted = |text: String| toml::Value::from(text).to_string();
        match self.answers.missing_setting() {
            Some(Scheme::Twilio) => {
                let default = format!("https://hooks.example.com{}", self.answers.path());
                self.required("The URL that Twilio is given?", &default, |answers, url| {
                    let line = format!("twilio = {{ url = {} }}", quoted(url));
                    answers.settings.push(line);
                })?;
            }
            Some(Scheme::Hmac) => {
                self.required(
                    "The header with the signature?",
                    DEFAULT_HEADER,
                    |answers, name| {
                        answers
                            .settings
                            .push(format!("hmac = {{ header = {} }}", quoted(name)));
                    },
                )?;
            }
            None => {}
        }
        let is_given = self.answers.key_env.is_some() || self.answers.key_file.is_some();
        if self.answers.has_keys() && !is_given {
            let default = self.answers.key_variable();
            let question = "The environment variable with the signing key (--key-file for a file)?";
            self.required(question, &default, |answers, name| {
                answers.key_env = Some(name);
            })?;
        }
        Ok(())
    }

    fn kafka(&mut self) -> Result<(), InitError> {
        if self.answers.brokers.is_none() {
            self.required("Kafka's brokers?", DEFAULT_BROKERS, |answers, brokers| {
                answers.brokers = Some(brokers);
            })?;
        }
        if self.answers.topic.is_none() {
            let default = self.answers.topic();
            self.required("The topic?", &default, |answers, topic| {
                answers.topic = Some(topic);
            })?;
        }
        if !self.answers.has_security() {
            let question =
                "How are the brokers reached: PLAINTEXT, SSL, SASL_SSL or SASL_PLAINTEXT?";
            self.required(question, DEFAULT_SECURITY, |answers, protocol| {
                answers.kafka_security = Some(protocol.to_uppercase());
            })?;
            if self.answers.has_kafka_tls() {
                let question = "The file of the authority that signed their certificates?";
                self.optional(question, "the system's", |answers, file| {
                    answers.kafka_ca = Some(file);
                })?;
            }
            if self.answers.has_sasl() {
                self.sasl()?;
            }
        }
        Ok(())
    }

    fn sasl(&mut self) -> Result<(), InitError> {
        let question = "The mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512?";
        self.required(question, DEFAULT_MECHANISM, |answers, mechanism| {
            answers.sasl_mechanism = Some(mechanism.to_uppercase());
        })?;
        self.required("The user?", DEFAULT_USER, |answers, user| {
            answers.sasl_user = Some(user);
        })?;
        let question = "The environment variable with the password?";
        self.required(question, DEFAULT_PASSWORD, |answers, name| {
            answers.sasl_password_env = Some(name);
        })
    }

    fn machine(&mut self) -> Result<(), InitError> {
        if self.answers.journal.is_none() {
            let default = self.answers.journal().to_owned();
            let question = "The journal's folder, on a disk that outlives the process?";
            self.required(question, &default, |answers, folder| {
                answers.journal = Some(folder);
            })?;
        }
        if self.answers.tls_certificate.is_none() {
            let question = "The certificate for HTTPS on the webhook port?";
            self.optional(
                question,
                "none: TLS is terminated in front",
                |answers, file| {
                    answers.tls_certificate = Some(file);
                },
            )?;
            if self.answers.tls_certificate.is_some() {
                self.required(
                    "The file of its private key?",
                    "tls.key",
                    |answers, file| {
                        answers.tls_key = Some(file);
                    },
                )?;
            }
        }
        Ok(())
    }

    /// Takes `default` for an empty line.
    fn required(
        &mut self,
        question: &str,
        default: &str,
        set: impl Fn(&mut Answers, String),
    ) -> Result<(), InitError> {
        self.ask(question, default, |answers, answer| {
            let is_empty = answer.is_empty();
            set(answers, if is_empty { default.to_owned() } else { answer });
        })
    }

    /// Sets nothing for an empty line; `otherwise` says what that means.
    fn optional(
        &mut self,
        question: &str,
        otherwise: &str,
        set: impl Fn(&mut Answers, String),
    ) -> Result<(), InitError> {
        self.ask(question, otherwise, |answers, answer| {
            if !answer.is_empty() {
                set(answers, answer);
            }
        })
    }

    /// Repeats the question until `ringback check` would have nothing against the answer.
    fn ask(
        &mut self,
        question: &str,
        default: &str,
        set: impl Fn(&mut Answers, String),
    ) -> Result<(), InitError> {
        loop {
            // The answer follows a blank.
            let columns = self.columns.map(|columns| columns.saturating_sub(1));
            let question = fitted(&format!("{question} [{default}]"), columns, 0);
            self.write(&format!("{question} "))?;
            let mut line = String::new();
            let read = self.input.read_line(&mut line);
            if read.map_err(|error| InitError::Write(String::from("the questions"), error))? == 0 {
                return Err(InitError::Ended);
            }
            let mut tried = self.answers.clone();
            set(&mut tried, line.trim().to_owned());
            match file::check(&tried) {
                Ok(_) => {
                    *self.answers = tried;
                    return Ok(());
                }
                Err(fault) => self.say(&format!("  {}", printable(&fault.message)))?,
            }
        }
    }

    fn say(&mut self, line: &str) -> Result<(), InitError> {
        let lines = fitted(line, self.columns, 2);
        self.write(&format!("{lines}\n"))
    }

    fn write(&mut self, text: &str) -> Result<(), InitError> {
        let written = self.output.write_all(text.as_bytes());
        let written = written.and_then(|()| self.output.flush());
        written.map_err(|error| InitError::Write(String::from("the questions"), error))
    }
}
