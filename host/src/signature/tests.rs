use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::*;

const BYTES: &[u8] = b"\0asm";

fn candidate<'a>(name: &'a str, bytes: &'a [u8]) -> Candidate<'a> {
    Candidate {
        name,
        bytes,
        digest: Digest::of(bytes),
        manifest: Some(Digest::of(b"manifest")),
        contract: "0.1.0",
    }
}

fn statement() -> Statement {
    Statement {
        name: "guard".to_owned(),
        version: Some("1.2.0".to_owned()),
        digest: Digest::of(BYTES),
        contract: Some("0.1.0".to_owned()),
    }
}

struct Signer {
    public: PublicKey,
    secret: SecretKey,
}

impl Signer {
    fn new() -> Self {
        let pair = Pair::generate(Password::None).unwrap();
        let secret = SecretKey::open(&pair.secret_file, || panic!("it has no password")).unwrap();
        assert_eq!(secret.id(), pair.id);
        let public: PublicKey = pair.public.parse().unwrap();
        assert_eq!(pair.public_file.parse().as_ref(), Ok(&public));
        assert_eq!(public.id(), pair.id);
        Self { public, secret }
    }

    fn sign(&self, statement: &Statement) -> Signature {
        self.secret.sign(BYTES, statement).unwrap()
    }
}

#[test]
fn a_signature_by_one_of_several_keys_will_do() {
    let (old, new) = (Signer::new(), Signer::new());
    let keys = [old.public.clone(), new.public.clone()];
    for signer in [&old, &new] {
        let verified = verify(candidate("guard", BYTES), &[signer.sign(&statement())], &keys).unwrap();
        assert_eq!(verified.key, signer.public.id());
        assert_eq!(verified.version.as_deref(), Some("1.2.0"));
    }
    let both = [old.sign(&statement()), new.sign(&statement())];
    assert!(
        verify(candidate("guard", BYTES), &both, &keys[1..]).is_ok(),
        "a rotation signs twice"
    );
}

#[test]
fn what_a_signature_is_not_about_is_refused() {
    let signer = Signer::new();
    let keys = [signer.public.clone()];
    let refusal = |signature: Signature, name, bytes| verify(candidate(name, bytes), &[signature], &keys).unwrap_err();
    let good = signer.sign(&statement());

    assert_eq!(verify(candidate("guard", BYTES), &[], &keys), Err(Refusal::Unsigned));
    let changed = refusal(good.clone(), "guard", b"\0asm ");
    assert_eq!(changed, Refusal::Forged(signer.public.id().to_owned()));
    let renamed = refusal(good.clone(), "router", BYTES).to_string();
    assert!(
        renamed.contains("signed as \"guard\", and here it is \"router\""),
        "{renamed}"
    );

    let other = Statement {
        contract: Some("0.2.0".to_owned()),
        ..statement()
    };
    let newer = refusal(signer.sign(&other), "guard", BYTES).to_string();
    assert!(newer.contains("version 0.2.0 of the contract"), "{newer}");
    let other = Statement {
        digest: Digest::of(b""),
        ..statement()
    };
    let digest = refusal(signer.sign(&other), "guard", BYTES).to_string();
    assert!(digest.contains(&Digest::of(b"").to_string()), "{digest}");
}

#[test]
fn a_changed_comment_is_a_forged_signature() {
    let signer = Signer::new();
    let Signature::Minisign(text) = signer.sign(&statement()) else {
        unreachable!()
    };
    let forged = Signature::Minisign(text.replace("name=guard", "name=other"));
    let refusal = verify(
        candidate("other", BYTES),
        &[forged],
        std::slice::from_ref(&signer.public),
    );
    assert_eq!(refusal, Err(Refusal::Forged(signer.public.id().to_owned())));
}

#[test]
fn the_key_that_has_signed_is_named() {
    let (ours, theirs) = (Signer::new(), Signer::new());
    let refusal = verify(candidate("guard", BYTES), &[theirs.sign(&statement())], &[ours.public]);
    assert_eq!(refusal, Err(Refusal::OtherKey(Some(theirs.public.id().to_owned()))));
}

#[test]
fn a_signature_that_is_none_is_refused_and_no_panic() {
    let signer = Signer::new();
    let Signature::Minisign(text) = signer.sign(&statement()) else {
        unreachable!()
    };
    for end in 0..text.trim_end().len() {
        let cut = Signature::Minisign(text.get(..end).unwrap_or_default().to_owned());
        assert!(
            verify(candidate("guard", BYTES), &[cut], std::slice::from_ref(&signer.public)).is_err(),
            "{end}"
        );
    }
    // What a text of no ASCII does where a parser counts bytes.
    for text in [
        "é",
        "untrusted comment: é\né\ntrusted comment: é\né\n",
        "\n\n\n\n",
        "a\nRUé\ntrusted comment: \n\n",
    ] {
        let wrong = Signature::Minisign(text.to_owned());
        assert!(
            verify(
                candidate("guard", BYTES),
                &[wrong],
                std::slice::from_ref(&signer.public)
            )
            .is_err(),
            "{text}"
        );
    }
}

#[test]
fn a_statement_reads_what_it_writes_and_leaves_alone_what_minisign_adds() {
    let text = statement().to_string();
    assert_eq!(Statement::parse(&text), Ok(statement()));
    assert_eq!(
        Statement::parse(&format!("timestamp:1\tfile:x.wasm\thashed {text}")),
        Ok(statement())
    );
    for (comment, said) in [
        ("", "does not say `digest=`"),
        ("timestamp:1\tfile:guard.wasm\thashed", "does not say `digest=`"),
        ("name=a digest=sha256:12", "says no digest"),
        (&text.replace("name=guard", ""), "does not say `name=`"),
        (&format!("{text} name=other"), "says `name` twice"),
    ] {
        let error = Statement::parse(comment).unwrap_err();
        assert!(error.contains(said), "{comment}: {error}");
    }
}

#[test]
fn a_secret_key_with_a_password_opens_with_that_alone() {
    let pair = Pair::generate(Password::Given("hunter2".to_owned())).unwrap();
    assert!(SecretKey::open(&pair.secret_file, || Ok(Password::Given("hunter3".to_owned()))).is_err());
    let secret = SecretKey::open(&pair.secret_file, || Ok(Password::Given("hunter2".to_owned()))).unwrap();
    let signature = secret.sign(BYTES, &statement()).unwrap();
    let key: PublicKey = pair.public.parse().unwrap();
    assert!(verify(candidate("guard", BYTES), &[signature], &[key]).is_ok());
}

#[test]
fn a_public_key_is_no_secret_one_and_the_other_way_round() {
    let pair = Pair::generate(Password::None).unwrap();
    assert_eq!(pair.secret_file.parse::<PublicKey>(), Err(KeyError::Private));
    let opened = SecretKey::open(&pair.public_file, || panic!("it is not asked for a password"));
    assert!(matches!(opened, Err(SecretError::NoKey)));
    assert!(PublicKey::looks_like_one(&pair.public));
    assert!(!PublicKey::looks_like_one("RW-keys/team.pub"));
}

fn ecdsa() -> (EcdsaKeyPair, PublicKey) {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref()).unwrap();
    let point = pair.public_key().as_ref().to_vec();
    let id = "ecdsa:test".to_owned();
    (pair, PublicKey::Ecdsa { id, point })
}

fn payload(reference: &str, digest: &str, kind: &str) -> Vec<u8> {
    let payload = serde_json::json!({
        "critical": {
            "identity": { "docker-reference": reference },
            "image": { "docker-manifest-digest": digest },
            "type": kind,
        },
        "optional": { "creator": "somebody" },
    });
    payload.to_string().into_bytes()
}

#[test]
fn a_keyed_signature_of_cosigns_is_of_the_manifest_and_names_the_repository() {
    let (pair, key) = ecdsa();
    let keys = [Signer::new().public, key];
    let manifest = Digest::of(b"manifest").to_string();
    let sign = |payload: Vec<u8>| Signature::Cosign {
        signature: pair.sign(&SystemRandom::new(), &payload).unwrap().as_ref().to_vec(),
        payload,
    };
    let check = |payload| verify(candidate("guard", BYTES), &[sign(payload)], &keys);
    let good = payload("registry.example:5000/team/guard", &manifest, cosign_kind());
    assert_eq!(check(good.clone()).unwrap().key, "ecdsa:test");
    assert!(
        check(payload(
            "registry.example:5000/team/guard:1.2",
            &manifest,
            cosign_kind()
        ))
        .is_ok()
    );

    for (payload, said) in [
        (payload("r/team/other", &manifest, cosign_kind()), "signed as \"other\""),
        (payload("", &manifest, cosign_kind()), "signed as \"\""),
        (
            payload("r/team/guard", &Digest::of(b"").to_string(), cosign_kind()),
            "and this is sha256:",
        ),
        (
            payload("r/team/guard", &manifest, "something else"),
            "it is a \"something else\"",
        ),
        (b"{}".to_vec(), "it is of no image"),
    ] {
        let refusal = check(payload).unwrap_err().to_string();
        assert!(refusal.contains(said), "{refusal}");
    }
    let (other, _) = ecdsa();
    let signature = other.sign(&SystemRandom::new(), &good).unwrap().as_ref().to_vec();
    let foreign = Signature::Cosign {
        payload: good.clone(),
        signature,
    };
    assert_eq!(
        verify(candidate("guard", BYTES), &[foreign], &keys),
        Err(Refusal::OtherKey(None))
    );
    let file = Candidate {
        manifest: None,
        ..candidate("guard", BYTES)
    };
    assert!(
        verify(file, &[sign(good)], &keys)
            .unwrap_err()
            .to_string()
            .contains("this is a file")
    );
}

fn cosign_kind() -> &'static str {
    "cosign container image signature"
}

/// `openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout`, and the same for `secp384r1`.
#[test]
fn a_key_of_cosigns_is_on_p_256() {
    let p256 = "-----BEGIN PUBLIC KEY-----\nP256\n-----END PUBLIC KEY-----\n";
    assert_eq!(p256.parse::<PublicKey>(), Err(KeyError::Pem));
    let good = include_str!("tests/p256.pub");
    assert!(matches!(good.parse(), Ok(PublicKey::Ecdsa { .. })));
    assert_eq!(
        include_str!("tests/p384.pub").parse::<PublicKey>(),
        Err(KeyError::Algorithm)
    );
    assert_eq!(format!("{good}{good}").parse::<PublicKey>(), Err(KeyError::Pem));
    let private = good.replace("PUBLIC", "PRIVATE");
    assert_eq!(private.parse::<PublicKey>(), Err(KeyError::Private));
}
