//! The first thing that newcomers run.
use std::fs;

use crate::lab::Lab;

#[test]
fn the_demo_shows_a_swarm_and_cleans_up() {
    let lab = Lab::new();
    let outcome = lab.run(&["demo", "--size", "2", "--leechers", "2"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("identical") && outcome.stdout.contains("rustor create"), "{outcome:?}");
    assert_eq!(fs::read_dir(lab.path("")).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn an_interrupted_demo_cleans_up_too() {
    let lab = Lab::new();
    let demo = lab.start(&["demo"]);
    demo.line("leechers have");
    demo.signal("INT");
    let (status, said) = demo.end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(fs::read_dir(lab.path("")).unwrap().count(), 0, "nothing is left behind");
}
