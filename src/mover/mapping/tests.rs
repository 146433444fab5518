//! Names and folders mapped between servers.

use super::*;
use proptest::prelude::*;

const SLASH: Style = Style {
    separator: Some('/'),
    below_inbox: false,
};
const COURIER: Style = Style {
    separator: Some('.'),
    below_inbox: true,
};

fn mapping(source: Style, target: Style) -> Mapping<'static> {
    Mapping {
        exclude: &[],
        rename: &[],
        source,
        target,
        names: Names::Liberal,
    }
}

fn listed(path: &str) -> Listed {
    Listed {
        parts: path.split('|').map(str::to_owned).collect(),
        purpose: None,
        decoded: true,
        kept: None,
    }
}

fn special(path: &str, purpose: Use) -> Listed {
    Listed {
        purpose: Some(purpose),
        ..listed(path)
    }
}

fn paths(mapping: &Mapping<'_>, folders: &[Listed], existing: &[Listed]) -> Vec<String> {
    let mapped = mapping.map(folders, existing).into_iter();
    mapped
        .map(|result| match result {
            Ok(mapped) => mapped.parts.join("|"),
            Err(left) => left.to_string(),
        })
        .collect()
}

#[test]
fn a_prefix_comes_off_and_goes_on() {
    let folders = ["INBOX", "INBOX|Work|2025"].map(listed);
    let down = mapping(COURIER, SLASH);
    assert_eq!(paths(&down, &folders, &[]), ["INBOX", "Work|2025"]);
    let up = mapping(SLASH, COURIER);
    let folders = ["inbox", "Work|2025", "INBOX|Child"].map(listed);
    assert_eq!(
        paths(&up, &folders, &[]),
        ["INBOX", "INBOX|Work|2025", "INBOX|Child"]
    );
}

#[test]
fn the_targets_separator_inside_a_name_is_replaced_and_said() {
    let mapped = mapping(SLASH, COURIER).map(&[listed("Invoices 1.2")], &[]);
    let mapped = mapped[0].as_ref().unwrap();
    assert_eq!(mapped.parts, ["INBOX", "Invoices 1_2"]);
    let note = Note::Escaped {
        from: "Invoices 1.2".into(),
        to: "Invoices 1_2".into(),
    };
    assert_eq!(mapped.notes, [note]);
}

#[test]
fn zimbra_takes_fewer_names() {
    let mut zimbra = mapping(COURIER, SLASH);
    zimbra.names = Names::Zimbra;
    let folders = ["INBOX|a:b\"c", "INBOX|end  ", "INBOX|tab\tx", "INBOX| "].map(listed);
    assert_eq!(
        paths(&zimbra, &folders, &[]),
        ["a_b_c", "end", "tab_x", "_"]
    );
    assert_eq!(
        paths(&mapping(COURIER, SLASH), &folders[..2], &[]),
        ["a:b\"c", "end  "]
    );
}

#[test]
fn cyrus_and_courier_refuse_signs_of_their_own() {
    let tilde = listed("~a|b~|~");
    assert_eq!(paths(&mapping(SLASH, SLASH), &[tilde], &[]), ["_a|b~|_"]);
    let names = ["quo\"ted; a|b", "📮 post/x", "Entwürfe.(2)"].map(listed);
    let mut other = mapping(SLASH, SLASH);
    other.names = Names::Cyrus;
    assert_eq!(paths(&other, &names[..1], &[]), ["quo_ted_ a|b"]);
    let mut courier = mapping(SLASH, COURIER);
    courier.names = Names::Courier;
    assert_eq!(
        paths(&courier, &names[1..], &[]),
        ["INBOX|_ post_x", "INBOX|Entwürfe_(2)"]
    );
    let has = |all: &'static [&str]| Names::of(|one| all.contains(&one));
    assert_eq!(has(&["ACL", "ACL2=UNION"]), Names::Courier);
    assert_eq!(has(&["X-REPLICATION"]), Names::Cyrus);
    assert_eq!(has(&["ACL"]), Names::Liberal);
}

#[test]
fn a_use_finds_its_folder() {
    let folders = [
        special("Gesendet", Use::Sent),
        special("Papierkorb", Use::Trash),
        special("Sent 2", Use::Sent),
        listed("Sent|Old"),
    ];
    let existing = [special("Sent", Use::Sent), listed("Trash")];
    assert_eq!(
        paths(&mapping(SLASH, SLASH), &folders, &existing),
        ["Sent", "Papierkorb", "Sent 2", "Sent|Old"]
    );
    let existing = [special("INBOX|Sent", Use::Sent)];
    assert_eq!(
        paths(&mapping(SLASH, COURIER), &folders[..1], &existing),
        ["INBOX|Sent"]
    );
}

#[test]
fn two_that_would_meet_are_not_merged() {
    let folders = ["Work", "work", "a:b", "a_b"].map(listed);
    let mut zimbra = mapping(SLASH, SLASH);
    zimbra.names = Names::Zimbra;
    let results = zimbra.map(&folders, &[]);
    assert!(results[0].is_ok() && results[2].is_ok());
    let collision = |with: &str| Err(Left::Collision { with: with.into() });
    assert_eq!(results[1], collision("Work"));
    assert_eq!(results[3], collision("a:b"));
}

#[test]
fn rules_and_excludes_apply_to_what_is_inside_too() {
    let exclude = ["Spam".to_owned(), "Cal*".to_owned()];
    let rename = [Rename {
        from: "Old/Box".into(),
        to: "Archive".into(),
    }];
    let mapping = Mapping {
        exclude: &exclude,
        rename: &rename,
        ..mapping(COURIER, SLASH)
    };
    let folders = [
        "INBOX|Spam",
        "INBOX|Spam|x",
        "INBOX|Spammy",
        "INBOX|Calendar",
        "INBOX|Old|Box|2024",
        "INBOX|Old|Boxes",
    ]
    .map(listed);
    let excluded = Left::Excluded.to_string();
    assert_eq!(
        paths(&mapping, &folders, &[]),
        [
            &*excluded,
            &*excluded,
            "Spammy",
            &*excluded,
            "Archive|2024",
            "Old|Boxes"
        ]
    );
}

#[test]
fn too_long_is_refused_and_flat_is_flat() {
    let long = ["a".repeat(120), "b".repeat(120), "c".repeat(120)].join("|");
    let results = mapping(SLASH, SLASH).map(&[listed(&long)], &[]);
    assert_eq!(results, [Err(Left::TooLong { bytes: 362 })]);
    let flat = Style {
        separator: None,
        below_inbox: false,
    };
    assert_eq!(paths(&mapping(SLASH, flat), &[listed("a|b")], &[]), ["a_b"]);
}

#[test]
fn what_was_copied_before_stays_where_it_is_unless_a_rule_renames_it() {
    let kept = |path: &str, purpose, there: &str| Listed {
        kept: Some(listed(there).parts),
        purpose,
        ..listed(path)
    };
    let folders = [
        listed("Gesendet"),
        kept("Sent", Some(Use::Sent), "Sent"),
        kept("Old", None, "Gesendet"),
    ];
    let existing = [
        listed("Sent"),
        special("Sent Items", Use::Sent),
        listed("Gesendet"),
    ];
    let collision = Left::Collision { with: "Old".into() }.to_string();
    let mapped = paths(&mapping(SLASH, SLASH), &folders, &existing);
    assert_eq!(mapped, [&*collision, "Sent", "Gesendet"]);
    let rename = [Rename {
        from: "Sent".into(),
        to: "Away".into(),
    }];
    let mapping = Mapping {
        rename: &rename,
        ..mapping(SLASH, SLASH)
    };
    assert_eq!(paths(&mapping, &folders, &existing)[1], "Away");
}

proptest! {
    /// No folder of the target gets two of the source, and no part is illegal there.
    #[test]
    fn every_target_is_legal_and_once(
        folders in proptest::collection::vec("[a-cA-C.:/ \"é|]{1,8}", 0..20)
    ) {
        let folders: Vec<Listed> = folders.iter().map(|path| listed(path)).collect();
        let mut mapping = mapping(SLASH, COURIER);
        mapping.names = Names::Zimbra;
        let mut seen = HashSet::new();
        for mapped in mapping.map(&folders, &[]).into_iter().flatten() {
            prop_assert!(seen.insert(mapped.parts.join("\0").to_lowercase()));
            for part in &mapped.parts {
                prop_assert!(!part.is_empty() && !part.ends_with(' '));
                prop_assert!(!part.contains(['.', ':', '/', '"']));
            }
        }
    }
}
