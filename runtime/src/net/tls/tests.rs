//! Whose connections come about, what somebody in between can do, and what is never agreed on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use trefoil_ir::mpc::Party;

use super::testing::{Keys, keys};
use super::verify::Pinned;
use super::*;
use crate::net::pace::set_intervals;

const LONG: Duration = Duration::from_secs(20);

/// Two ends of a socket, and both ends' handshakes.
fn meet(
    open: &Arc<ClientConfig>,
    answer: &Arc<ServerConfig>,
    between: impl FnOnce(TcpStream, TcpStream) + Send + 'static,
) -> (io::Result<Channel>, io::Result<Channel>) {
    let front = TcpListener::bind("127.0.0.1:0").unwrap();
    let back = TcpListener::bind("127.0.0.1:0").unwrap();
    let opener = TcpStream::connect(front.local_addr().unwrap()).unwrap();
    let onward = TcpStream::connect(back.local_addr().unwrap()).unwrap();
    let (inward, answerer) = (front.accept().unwrap().0, back.accept().unwrap().0);
    thread::spawn(move || between(inward, onward));
    let shake = |channel: Channel| {
        set_intervals(channel.socket(), LONG)?;
        channel.shake_hands(Instant::now() + LONG, &|| false)?;
        Ok(channel)
    };
    thread::scope(|scope| {
        let answering = scope.spawn(|| {
            let channel = shake(Channel::answerer(answerer, answer)?)?;
            // The opener hears of a refusal with its first read.
            (&channel).write_all(b"hello").and_then(|()| (&channel).flush())?;
            Ok(channel)
        });
        let opened = Channel::opener(opener, open).and_then(shake).and_then(|channel| {
            let mut word = [0; 5];
            read_whole(&channel, &mut word)?;
            assert_eq!(&word, b"hello");
            Ok(channel)
        });
        if opened.is_err() {
            // Whoever fails goes away.
            return (opened, answering.join().unwrap());
        }
        (opened, answering.join().unwrap())
    })
}

/// Reads on whenever nothing but time has passed.
fn read_whole(mut channel: &Channel, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match channel.read(bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => bytes = &mut bytes[read..],
            Err(error) if channel::is_interval(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What somebody in between does to bytes, by where they begin.
type Change = dyn Fn(usize, &mut Vec<u8>) + Send + Sync;

/// Passes everything on, both ways, after `change` has seen it.
fn relay(
    change: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'static,
) -> impl FnOnce(TcpStream, TcpStream) + Send {
    move |front, back| {
        let change = Arc::new(change);
        let pass = |mut from: TcpStream, mut to: TcpStream, change: Arc<Change>| {
            move || {
                let mut at = 0;
                let mut buffer = [0; 4096];
                while let Ok(read) = from.read(&mut buffer) {
                    let mut bytes = buffer[..read].to_vec();
                    change(at, &mut bytes);
                    at += read;
                    if read == 0 || to.write_all(&bytes).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Write);
            }
        };
        let (f, b) = (front.try_clone().unwrap(), back.try_clone().unwrap());
        let there = thread::spawn(pass(f, b, change.clone()));
        pass(back, front, change)();
        let _ = there.join();
    }
}

fn faithfully() -> impl FnOnce(TcpStream, TcpStream) + Send {
    relay(|_, _| ())
}

fn client_opens(keys: &Keys, to: Party) -> Arc<ClientConfig> {
    let pinned = keys.of(to).public();
    keys.client.opening(pinned, Purpose::Session).unwrap()
}

fn answers(keys: &Keys, party: Party) -> Arc<ServerConfig> {
    keys.of(party).answering(keys.known_to(party)).unwrap()
}

fn fault(result: io::Result<Channel>) -> TlsFault {
    let error = result.map(drop).unwrap_err();
    TlsFault::of(&error)
        .cloned()
        .unwrap_or_else(|| panic!("{error:?}"))
}

#[test]
fn both_ends_know_each_other_and_derive_the_same() {
    let keys = keys();
    let (opened, answered) = meet(
        &client_opens(keys, Party::Server),
        &answers(keys, Party::Server),
        faithfully(),
    );
    let (opened, answered) = (opened.unwrap(), answered.unwrap());
    assert_eq!(opened.peer_key(), Some(keys.server.public()));
    assert_eq!(answered.peer_key(), Some(keys.client.public()));
    assert_eq!(opened.purpose(), Some(Purpose::Session));
    assert_eq!(answered.purpose(), Some(Purpose::Session));
    assert_eq!(opened.export(b"x").unwrap(), answered.export(b"x").unwrap());
    assert_ne!(opened.export(b"x").unwrap(), opened.export(b"y").unwrap());
    let (another, _) = meet(
        &client_opens(keys, Party::Server),
        &answers(keys, Party::Server),
        faithfully(),
    );
    assert_ne!(
        opened.export(b"x").unwrap(),
        another.unwrap().export(b"x").unwrap()
    );
}

#[test]
fn large_messages_pass_in_both_directions() {
    let keys = keys();
    let (opened, answered) = meet(
        &client_opens(keys, Party::Server),
        &answers(keys, Party::Server),
        faithfully(),
    );
    let (opened, answered) = (opened.unwrap(), answered.unwrap());
    let message: Vec<u8> = (0..3_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for (from, to) in [(&opened, &answered), (&answered, &opened)] {
        from.widen();
        to.widen();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut left, mut channel) = (&message[..], from);
                while !left.is_empty() {
                    match channel.write(left) {
                        Ok(taken) => left = &left[taken..],
                        Err(error) => assert!(channel::is_interval(&error), "{error}"),
                    }
                }
                while let Err(error) = channel.flush() {
                    assert!(channel::is_interval(&error), "{error}");
                }
            });
            let mut read = vec![0; message.len()];
            read_whole(to, &mut read).unwrap();
            assert!(read == message);
        });
    }
}

#[test]
fn a_look_waits_for_nothing_and_takes_nothing() {
    let keys = keys();
    let (opened, answered) = meet(
        &client_opens(keys, Party::Server),
        &answers(keys, Party::Server),
        faithfully(),
    );
    let (opened, answered) = (opened.unwrap(), answered.unwrap());
    assert_eq!(answered.peek().unwrap(), None);
    (&opened).write_all(b"abc").unwrap();
    let seen = |channel: &Channel| {
        let end = Instant::now() + LONG;
        loop {
            match channel.peek() {
                Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(1)),
                seen => return seen,
            }
        }
    };
    assert_eq!(seen(&answered).unwrap().unwrap(), b"abc");
    assert_eq!(seen(&answered).unwrap().unwrap(), b"abc");
    let mut word = [0; 3];
    read_whole(&answered, &mut word).unwrap();
    assert_eq!(&word, b"abc");
    opened.close().unwrap();
    assert_eq!(seen(&answered).unwrap().unwrap(), b"");
}

#[test]
fn an_answerer_with_another_key_is_refused() {
    let keys = keys();
    // The helper, or anybody, in the server's place.
    for impostor in [&keys.helper, &keys.stranger] {
        let answer = impostor.answering(keys.known_to(Party::Server)).unwrap();
        let (opened, answered) = meet(&client_opens(keys, Party::Server), &answer, faithfully());
        assert_eq!(fault(opened), TlsFault::Unknown(Some(impostor.public())));
        assert_eq!(fault(answered), TlsFault::Rejected);
    }
}

#[test]
fn an_opener_whom_nobody_knows_is_refused_and_told_so() {
    let keys = keys();
    let open = keys
        .stranger
        .opening(keys.server.public(), Purpose::Session)
        .unwrap();
    let (opened, answered) = meet(&open, &answers(keys, Party::Server), faithfully());
    assert_eq!(fault(answered), TlsFault::Unknown(Some(keys.stranger.public())));
    assert_eq!(fault(opened), TlsFault::Rejected);
}

/// Somebody with a key of their own in between cannot play both parts: they lack both keys.
#[test]
fn whoever_shows_a_key_must_have_it() {
    let keys = keys();
    // Shows the server's key, and signs with another.
    let mut forged = keys.stranger.clone();
    let shown = CertificateDer::from(keys.server.public().to_spki());
    forged.key = Arc::new(CertifiedKey::new(vec![shown], Arc::clone(&keys.stranger.key.key)));
    let answer = forged.answering(keys.known_to(Party::Server)).unwrap();
    let (opened, _) = meet(&client_opens(keys, Party::Server), &answer, faithfully());
    assert!(matches!(fault(opened), TlsFault::Broken(_)));
    let shown = CertificateDer::from(keys.client.public().to_spki());
    forged.key = Arc::new(CertifiedKey::new(vec![shown], Arc::clone(&keys.stranger.key.key)));
    let open = forged.opening(keys.server.public(), Purpose::Session).unwrap();
    let (_, answered) = meet(&open, &answers(keys, Party::Server), faithfully());
    assert!(matches!(fault(answered), TlsFault::Broken(_)));
}

#[test]
fn a_changed_byte_anywhere_ends_the_connection() {
    let keys = keys();
    for at in [0usize, 3, 6, 11, 50, 300, 1000, 1250, 1300, 1500] {
        let change = relay(move |begin, bytes| {
            if let Some(byte) = at.checked_sub(begin).and_then(|at| bytes.get_mut(at)) {
                *byte ^= 0x10;
            }
        });
        let (opened, answered) = meet(
            &client_opens(keys, Party::Server),
            &answers(keys, Party::Server),
            change,
        );
        assert!(opened.is_err() || answered.is_err(), "byte {at}");
    }
}

#[test]
fn no_other_key_exchange_is_agreed_on() {
    let keys = keys();
    let provider = |classical: bool| {
        let mut provider = aws_lc_rs::default_provider();
        if classical {
            provider.kx_groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
        }
        Arc::new(provider)
    };
    let open = |provider: Arc<CryptoProvider>| {
        let shown = AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&keys.client.key));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned(keys.server.public())))
            .with_client_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![Purpose::Session.protocol().to_vec()];
        Arc::new(config)
    };
    // As a check of the test itself, what is right is taken.
    let (opened, _) = meet(
        &open(provider(false)),
        &answers(keys, Party::Server),
        faithfully(),
    );
    assert!(opened.is_ok());
    let (opened, answered) = meet(&open(provider(true)), &answers(keys, Party::Server), faithfully());
    assert!(opened.is_err() && answered.is_err());
}

#[test]
fn the_purpose_is_agreed_on() {
    let keys = keys();
    let mut odd = (*client_opens(keys, Party::Server)).clone();
    odd.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (opened, answered) = meet(&Arc::new(odd), &answers(keys, Party::Server), faithfully());
    assert_eq!(fault(opened), TlsFault::NoProtocol);
    assert_eq!(fault(answered), TlsFault::NoProtocol);
    let probe = keys.client.opening(keys.server.public(), Purpose::Probe).unwrap();
    let (opened, answered) = meet(&probe, &answers(keys, Party::Server), faithfully());
    assert_eq!(opened.unwrap().purpose(), Some(Purpose::Probe));
    assert_eq!(answered.unwrap().purpose(), Some(Purpose::Probe));
}

#[test]
fn plaintext_is_named_as_such_at_both_ends() {
    let keys = keys();
    let front = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = front.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = front.accept().unwrap().0;
            let _ = stream.write_all(b"TREFOIL plain words");
            let _ = stream.read(&mut [0; 64]);
        });
        let stream = TcpStream::connect(address).unwrap();
        let channel = Channel::opener(stream, &client_opens(keys, Party::Server)).unwrap();
        let shaken = channel.shake_hands(Instant::now() + LONG, &|| false);
        assert_eq!(fault(shaken.map(|()| unreachable!())), TlsFault::NotTls);
    });
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&[0x81; 96]).unwrap();
    let answered = Channel::answerer(front.accept().unwrap().0, &answers(keys, Party::Server)).unwrap();
    let shaken = answered.shake_hands(Instant::now() + LONG, &|| false);
    assert_eq!(fault(shaken.map(|()| unreachable!())), TlsFault::NotTls);
}
