//! Runs over links that do something when a frame is sent.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use ndarray::Array4;
use ndarray_npy::{read_npy, write_npy};

use super::*;
use crate::cli::local::{help, serve};
use crate::cli::set_threads;
use crate::session::Identity;
use crate::session::testing::{SHAPE, client_plan, helper_plan, server_plan};
use crate::wire::{FrameKind, Header, LinkError, MemoryLink, Peer, Tag, pair};

/// What is done before a frame is sent, if it may be.
type Hook<'a> = Box<dyn FnMut(Tag) -> Result<(), LinkError> + Send + 'a>;

struct Hooked<'a> {
    link: MemoryLink,
    hook: Hook<'a>,
}

impl Link for Hooked<'_> {
    fn peer(&self) -> &Peer {
        self.link.peer()
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        (self.hook)(tag)?;
        self.link.send(tag, payload)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.link.flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        self.link.header()
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        self.link.body(length)
    }
}

/// Images enough that a file of them is not read in one go.
const IMAGES: usize = 600;

/// Images in a folder, and how they are run.
struct Case {
    folder: tempfile::TempDir,
    images: Array4<f32>,
    job: Job,
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    images: ImageArgs,
}

impl Case {
    fn new(batch: usize) -> Self {
        set_threads(None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut number = 0.0;
        let images = Array4::from_shape_simple_fn((IMAGES, SHAPE.c, SHAPE.h, SHAPE.w), || {
            number += 0.5;
            number
        });
        let path = folder.path().display();
        write_npy(format!("{path}/x.npy"), &images).unwrap();
        let line = format!("x --data {path}/x.npy --output {path}/o.npy --quiet --batch {batch}");
        let args = Line::parse_from(line.split(' '));
        let job = Job::open(&client_plan(1), &args.images, 1).unwrap();
        Self { folder, images, job }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Runs them; this is done when the session is opened and before each frame to the server.
    fn run<'a>(&self, opening: impl FnOnce(), hook: Hook<'a>, stop: &Stop) -> Result<(), CliError> {
        let plan = client_plan(1);
        let own = Identity::from(&plan);
        let mut results = Results::begin(&self.job, &plan).unwrap();
        let (mut party, mut tally) = (exec::Client::new(plan), Tally::default());
        let (server, server_client) = pair(Party::Client, Party::Server, 64);
        let (helper, helper_client) = pair(Party::Client, Party::Helper, 64);
        let (server_helper, helper_server) = pair(Party::Server, Party::Helper, 64);
        let silent: Hook<'a> = Box::new(|_| Ok(()));
        let outcome = thread::scope(|scope| {
            // How the others end is not what is looked at.
            scope.spawn(|| {
                serve(
                    exec::Server::new(server_plan(1)),
                    Box::new(server_client),
                    Box::new(server_helper),
                    drop,
                )
            });
            scope.spawn(|| {
                help(
                    exec::Helper::new(helper_plan(1)),
                    Box::new(helper_client),
                    Box::new(helper_server),
                    drop,
                )
            });
            let open = || {
                opening();
                let server = Hooked { link: server, hook };
                let helper = Hooked {
                    link: helper,
                    hook: silent,
                };
                ClientSession::open(&own, server, helper).map_err(client_error)
            };
            self.job.run(open, &mut party, &mut results, &mut tally, stop)
        });
        results.finish(outcome, party.plan(), &tally)
    }

    fn check(&self) {
        let logits: Array4<f32> = read_npy(self.path("o.npy")).unwrap();
        assert_eq!(logits, self.images);
    }
}

/// From now on there is nothing to read.
fn empty(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(0).unwrap();
}

#[test]
fn the_first_batch_is_read_before_a_session_is_opened() {
    let case = Case::new(IMAGES);
    let data = case.path("x.npy");
    case.run(|| empty(&data), Box::new(|_| Ok(())), &Stop::default())
        .unwrap();
    case.check();
}

#[test]
fn a_batch_is_read_while_the_one_before_is_online() {
    let case = Case::new(IMAGES / 2);
    let data = case.path("x.npy");
    let hook = |tag: Tag| {
        if tag.kind == FrameKind::Run {
            // Time for some kilobytes.
            thread::sleep(Duration::from_secs(1));
            empty(&data);
        }
        Ok(())
    };
    case.run(|| (), Box::new(hook), &Stop::default()).unwrap();
    case.check();
}

#[test]
fn a_batch_that_cannot_be_read_is_an_error() {
    let case = Case::new(IMAGES / 3);
    let data = case.path("x.npy");
    let error = case
        .run(|| empty(&data), Box::new(|_| Ok(())), &Stop::default())
        .unwrap_err();
    let CliError::Interrupted { rows, source, .. } = error else {
        panic!("{error}");
    };
    // The second may have been read already.
    assert!(
        (IMAGES / 3..=IMAGES / 3 * 2).contains(&rows) && matches!(*source, CliError::Data(_)),
        "{rows}: {source}"
    );
}

/// Whether nobody hears the end of this session.
fn no_end(tag: Tag) -> Result<(), LinkError> {
    match tag.kind {
        FrameKind::End => Err(LinkError::PeerDisconnected {
            peer: Peer::local(Party::Server),
        }),
        _ => Ok(()),
    }
}

#[test]
fn results_are_complete_whoever_hears_of_the_end() {
    let case = Case::new(IMAGES);
    case.run(|| (), Box::new(no_end), &Stop::default()).unwrap();
    case.check();
}

#[test]
fn an_end_that_nobody_hears_hides_no_error() {
    let case = Case::new(IMAGES);
    let stop = Stop::default();
    let error = case.run(|| stop.request(), Box::new(no_end), &stop).unwrap_err();
    assert!(matches!(error, CliError::Stopped), "{error}");
}
