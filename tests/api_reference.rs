//! Holds `docs/api-reference.md` to the comments of the contract, and the contract to having a comment on everything.

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, ServiceDescriptorProto,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api-reference.md");
const PACKAGE: &str = "riskshare.v1";
const INTRODUCTION: &str = "\
# API reference

Every call, message, field and value of `riskshare.v1`, as the comments in [proto/riskshare/v1](../proto/riskshare/v1)
say them. [api.md](api.md) explains how to call, with examples and every error; begin there.

A comment goes on from the name beside it: read \"`tenant_id`: is the tenant's id, a UUID\" as a sentence. A field that
is not said to be required may be left out. In JSON, `tenant_id` is spelled `tenantId`.

Written by `RISKSHARE_TEST_BLESS=1 cargo test --test api_reference`: change the comments, not this file.
";

// The numbers of fields of descriptors, of which the paths to comments are made.
const MESSAGES_OF_FILE: i32 = 4;
const ENUMS_OF_FILE: i32 = 5;
const SERVICES_OF_FILE: i32 = 6;
const METHODS_OF_SERVICE: i32 = 2;
const FIELDS_OF_MESSAGE: i32 = 2;
const ONEOFS_OF_MESSAGE: i32 = 8;
const VALUES_OF_ENUM: i32 = 2;

/// What the protos declare, each kind by name.
#[derive(Default)]
struct Contract {
    services: Vec<Item>,
    messages: Vec<Item>,
    enums: Vec<Item>,
}

/// A service, a message or an enum.
struct Item {
    name: String,
    comment: String,
    /// The oneofs of a message.
    choices: Vec<Part>,
    /// The calls of a service, the fields of a message, the values of an enum.
    parts: Vec<Part>,
}

struct Part {
    name: String,
    comment: String,
    number: i32,
    /// The type of a field; of a call, what it takes and answers. In Markdown.
    signature: String,
}

/// The comments of one file, by the path to what they stand above.
struct Comments(BTreeMap<Vec<i32>, String>);

impl Comments {
    fn of(file: &FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        Self(locations.map(|at| (at.path.clone(), at.leading_comments().trim().to_owned())).collect())
    }

    fn at(&self, path: &[i32]) -> String {
        self.0.get(path).cloned().unwrap_or_default()
    }
}

impl Contract {
    fn of(descriptors: &FileDescriptorSet) -> Self {
        let mut contract = Self::default();
        for file in descriptors.file.iter().filter(|file| file.package() == PACKAGE) {
            let comments = Comments::of(file);
            for (service, at) in file.service.iter().zip(0..) {
                contract.services.push(Item::of_service(service, &comments, &[SERVICES_OF_FILE, at]));
            }
            for (message, at) in file.message_type.iter().zip(0..) {
                contract.messages.push(Item::of_message(message, &comments, &[MESSAGES_OF_FILE, at]));
            }
            for (values, at) in file.enum_type.iter().zip(0..) {
                contract.enums.push(Item::of_enum(values, &comments, &[ENUMS_OF_FILE, at]));
            }
        }
        for items in [&mut contract.services, &mut contract.messages, &mut contract.enums] {
            items.sort_by(|a, b| a.name.cmp(&b.name));
        }
        contract
    }

    fn items(&self) -> impl Iterator<Item = &Item> {
        self.services.iter().chain(&self.messages).chain(&self.enums)
    }

    /// Names everything that has no comment.
    fn uncommented(&self) -> Vec<String> {
        let parts = |item: &Item| {
            let parts: Vec<_> =
                item.choices.iter().chain(&item.parts).filter(|part| part.comment.is_empty()).collect();
            parts.into_iter().map(|part| format!("{}.{}", item.name, part.name)).collect::<Vec<_>>()
        };
        let own = |item: &Item| item.comment.is_empty().then(|| item.name.clone());
        self.items().flat_map(|item| own(item).into_iter().chain(parts(item))).collect()
    }

    /// Returns all headings, which are what links lead to.
    fn headings(&self) -> Vec<&str> {
        let calls = self.services.iter().flat_map(|service| &service.parts);
        self.items().map(|item| item.name.as_str()).chain(calls.map(|call| call.name.as_str())).collect()
    }

    /// Returns the document.
    fn reference(&self) -> String {
        let headings: BTreeSet<_> = self.headings().into_iter().collect();
        let mut out = format!("{INTRODUCTION}\n## Services\n\n| Service | Calls |\n|---|---|\n");
        for service in &self.services {
            let calls: Vec<_> = service.parts.iter().map(|call| link(&call.name)).collect();
            put(&mut out, format_args!("| {} | {} |\n", link(&service.name), calls.join(", ")));
        }
        for service in &self.services {
            put(&mut out, format_args!("\n{}", service.beginning(&headings)));
            for call in &service.parts {
                let comment = text(&call.comment, &headings);
                put(&mut out, format_args!("\n#### {}\n\n{}\n\n{comment}\n", call.name, call.signature));
            }
        }
        out.push_str("\n## Messages\n");
        for message in &self.messages {
            put(&mut out, format_args!("\n{}", message.beginning(&headings)));
            for choice in &message.choices {
                let comment = text(&choice.comment, &headings);
                put(&mut out, format_args!("\nAt most one of `{}` is set. {comment}\n", choice.name));
            }
            if !message.parts.is_empty() {
                out.push_str("\n| No. | Field | Type | |\n|---|---|---|---|\n");
            }
            for field in &message.parts {
                let (number, name, comment) = (field.number, &field.name, cell(&field.comment, &headings));
                put(&mut out, format_args!("| {number} | `{name}` | {} | {comment} |\n", field.signature));
            }
        }
        out.push_str("\n## Enums\n");
        for values in &self.enums {
            put(&mut out, format_args!("\n{}", values.beginning(&headings)));
            out.push_str("\n| No. | Value | |\n|---|---|---|\n");
            for value in &values.parts {
                let comment = cell(&value.comment, &headings);
                put(&mut out, format_args!("| {} | `{}` | {comment} |\n", value.number, value.name));
            }
        }
        out
    }
}

impl Item {
    fn of_service(service: &ServiceDescriptorProto, comments: &Comments, path: &[i32]) -> Self {
        let call = |(method, at): (&MethodDescriptorProto, i32)| Part {
            name: method.name().to_owned(),
            comment: comments.at(&[path, &[METHODS_OF_SERVICE, at]].concat()),
            number: at,
            signature: format!(
                "Takes {}{}, answers {}{}.",
                if method.client_streaming() { "a stream of " } else { "" },
                type_link(method.input_type()),
                if method.server_streaming() { "a stream of " } else { "" },
                type_link(method.output_type()),
            ),
        };
        let parts = service.method.iter().zip(0..).map(call).collect();
        Self { name: service.name().to_owned(), comment: comments.at(path), choices: vec![], parts }
    }

    fn of_message(message: &DescriptorProto, comments: &Comments, path: &[i32]) -> Self {
        let is_flat = message.nested_type.is_empty() && message.enum_type.is_empty();
        assert!(is_flat, "{}: the document has no place for nested types", message.name());
        // What is `optional` has a oneof of its own, which nobody wrote.
        let written = |at: &i32| {
            !message.field.iter().any(|field| field.proto3_optional() && field.oneof_index() == *at)
        };
        let choice = |(name, at): (String, i32)| Part {
            comment: comments.at(&[path, &[ONEOFS_OF_MESSAGE, at]].concat()),
            number: at,
            signature: String::new(),
            name,
        };
        let field = |(field, at): (&FieldDescriptorProto, i32)| Part {
            name: field.name().to_owned(),
            comment: comments.at(&[path, &[FIELDS_OF_MESSAGE, at]].concat()),
            number: field.number(),
            signature: field_type(field, message),
        };
        let oneofs = message.oneof_decl.iter().map(|oneof| oneof.name().to_owned()).zip(0..);
        Self {
            name: message.name().to_owned(),
            comment: comments.at(path),
            choices: oneofs.filter(|(_, at)| written(at)).map(choice).collect(),
            parts: message.field.iter().zip(0..).map(field).collect(),
        }
    }

    fn of_enum(values: &EnumDescriptorProto, comments: &Comments, path: &[i32]) -> Self {
        let parts = values.value.iter().zip(0..).map(|(value, at)| Part {
            name: value.name().to_owned(),
            comment: comments.at(&[path, &[VALUES_OF_ENUM, at]].concat()),
            number: value.number(),
            signature: String::new(),
        });
        let parts = parts.collect();
        Self { name: values.name().to_owned(), comment: comments.at(path), choices: vec![], parts }
    }

    fn beginning(&self, headings: &BTreeSet<&str>) -> String {
        format!("### {}\n\n{}\n", self.name, text(&self.comment, headings))
    }
}

fn put(out: &mut String, text: std::fmt::Arguments) {
    out.write_fmt(text).expect("a text can always grow");
}

fn link(name: &str) -> String {
    format!("[`{name}`](#{})", name.to_lowercase())
}

/// Returns a type's name with a link to where it is explained.
fn type_link(full: &str) -> String {
    let name = full.trim_start_matches('.');
    match name.strip_prefix("google.protobuf.") {
        Some(known) => {
            format!("[`{name}`](https://protobuf.dev/reference/protobuf/google.protobuf/#{})", anchor(known))
        }
        None => link(name.strip_prefix("riskshare.v1.").expect("all others are ours")),
    }
}

/// Returns the anchor of a type in the document of Google's own types.
fn anchor(name: &str) -> String {
    let dash = |c: char| if c.is_uppercase() { format!("-{}", c.to_lowercase()) } else { c.to_string() };
    name.chars().map(dash).collect::<String>().trim_start_matches('-').to_owned()
}

fn field_type(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let name = match field.r#type() {
        Type::Message | Type::Enum => type_link(field.type_name()),
        scalar => format!("`{}`", scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase()),
    };
    match field.oneof_index {
        _ if field.label() == Label::Repeated => format!("repeated {name}"),
        _ if field.proto3_optional() => format!("optional {name}"),
        Some(at) => {
            let at = usize::try_from(at).expect("an index");
            format!("{name}, one of `{}`", message.oneof_decl[at].name())
        }
        None => name,
    }
}

/// Returns a comment with its paragraphs apart: those that its author made, and one for each of what readers look for.
fn broken(comment: &str) -> String {
    const BEGINNINGS: [&str; 3] = ["Errors: ", "Example: ", "Sharing off: "];
    let mut broken = comment.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    for beginning in BEGINNINGS {
        let (same_line, next_line) = (format!(" {beginning}"), format!("\n{beginning}"));
        broken = broken.replace(&next_line, &same_line).replace(&same_line, &format!("\n\n{beginning}"));
    }
    broken
}

/// Makes a link of each name in code quotes that has a heading, or is a document.
fn linked(text: &str, headings: &BTreeSet<&str>) -> String {
    let link_code = |(at, piece): (usize, &str)| match piece {
        code if at % 2 == 1 && headings.contains(code) => link(code),
        code if at % 2 == 1 => match code.strip_prefix("docs/") {
            Some(document) => format!("[{document}]({document})"),
            None => format!("`{code}`"),
        },
        words => words.replace('<', "\\<"),
    };
    text.split('`').enumerate().map(link_code).collect()
}

/// Returns a comment as text, with the lines that its author made.
fn text(comment: &str, headings: &BTreeSet<&str>) -> String {
    linked(&broken(comment), headings)
}

/// Returns a comment as one line, for a table.
fn cell(comment: &str, headings: &BTreeSet<&str>) -> String {
    text(comment, headings).replace("\n\n", "<br>").replace('\n', " ").replace('|', "\\|")
}

fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(riskshare::pb::DESCRIPTORS).unwrap()
}

#[test]
fn everything_in_the_contract_has_a_comment() {
    let contract = Contract::of(&descriptors());
    assert!(contract.services.len() >= 7 && contract.messages.len() > 80 && contract.enums.len() >= 10);
    assert_eq!(contract.uncommented(), [""; 0]);
}

#[test]
fn what_has_no_comment_is_named() {
    let mut descriptors = descriptors();
    for info in descriptors.file.iter_mut().filter_map(|file| file.source_code_info.as_mut()) {
        info.location.retain(|at| at.path.len() == 2);
    }
    let bare = Contract::of(&descriptors).uncommented();
    for part in
        ["IngestService.DeleteUser", "Actor.score", "EnrichAlertResult.result", "Severity.SEVERITY_LOW"]
    {
        assert!(bare.iter().any(|name| name == part), "{part}");
    }
    assert!(bare.iter().all(|name| name.contains('.')), "items have kept theirs");
    descriptors.file.iter_mut().for_each(|file| file.source_code_info = None);
    let bare = Contract::of(&descriptors).uncommented();
    for item in ["IngestService", "Actor", "Severity"] {
        assert!(bare.iter().any(|name| name == item), "{item}");
    }
}

#[test]
fn a_link_leads_to_one_heading() {
    let contract = Contract::of(&descriptors());
    let anchors: BTreeSet<_> = contract.headings().iter().map(|heading| heading.to_lowercase()).collect();
    assert_eq!(anchors.len(), contract.headings().len(), "two headings have one anchor");
    let reference = contract.reference();
    let links: BTreeSet<_> =
        reference.split("](#").skip(1).map(|rest| rest.split_once(')').unwrap().0.to_owned()).collect();
    assert!(links.len() > 80 && links.is_subset(&anchors), "{:?}", links.difference(&anchors));
}

/// Changed a comment of the contract? Set RISKSHARE_TEST_BLESS, and this test writes the document.
#[test]
fn the_document_says_what_the_protos_say() {
    let reference = Contract::of(&descriptors()).reference();
    if std::env::var_os("RISKSHARE_TEST_BLESS").is_some() {
        std::fs::write(DOCUMENT, &reference).unwrap();
    }
    assert!(
        std::fs::read_to_string(DOCUMENT).is_ok_and(|document| document == reference),
        "docs/api-reference.md is not what proto/riskshare/v1 says: write it with RISKSHARE_TEST_BLESS=1"
    );
}
