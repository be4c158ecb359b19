use super::*;
use crate::network::{Nat, NatKind};

/// A seed and three leechers on links of 1 MiB/s, and what goes wrong.
fn scenario(seed: u64, faults: &str) -> Scenario {
    let text = format!(
        r#"
            name = "test"
            seed = {seed}
            torrent = {{ files = ["2 MiB"], piece = "64 KiB", interval = "1 min" }}
            group = [
                {{ name = "seed", role = "seed", link = {{ up = "1 MiB/s" }} }},
                {{ name = "leechers", count = 3, link = {{ up = "1 MiB/s", down = "1 MiB/s" }} }},
            ]
            fault = [{faults}]
        "#
    );
    text.parse().expect("it makes sense")
}

fn advance_to(run: &mut Run<'_>, seconds: u64) {
    while run.world.now() < Instant::from_micros(seconds * 1_000_000) {
        assert!(run.advance(), "it goes on until then");
    }
}

#[test]
fn faults_that_overlap_leave_nothing_behind() {
    let faults = r#"
        { at = "1 s", lasts = "3 s", slow = { nodes = "leechers", by = 50 } },
        { at = "2 s", lasts = "4 s", loss = { nodes = "leechers/1", percent = 30, burst = 1 } },
        { at = "3 s", lasts = "2 s", slow = { nodes = "leechers/1", by = 2 } },
        { at = "2 s", lasts = "2 s", dark = "leechers/2" },
        { at = "3 s", lasts = "4 s", dark = "leechers/2" },
        { at = "30 s", lasts = "1 s", names = "absent" },
    "#;
    let scenario = scenario(1, faults);
    let mut run = Run::new(&scenario);
    advance_to(&mut run, 4);
    let node = |run: &Run<'_>, number: usize| run.nodes(&format!("leechers/{number}"))[0];
    let [first, second, third] = [0, 1, 2].map(|number| node(&run, number));
    let up = |run: &Run<'_>, node| run.world.network.link(node).up;
    assert_eq!(up(&run, second), Some(Rate((1 << 20) / 2)));
    assert_eq!(run.world.network.link(second).loss, 30);
    advance_to(&mut run, 5);
    assert_eq!(up(&run, first), Some(Rate(1 << 20)));
    assert!(run.world.network.is_dark(third), "one of two faults is over");
    advance_to(&mut run, 8);
    assert_eq!(run.world.network.link(second), &scenario.groups[1].link);
    assert!(!run.world.network.is_dark(third));
}

#[test]
fn what_goes_wrong_for_good_ends_for_those_who_must_finish() {
    for fault in [
        r#"partition = { from = "seed", to = "leechers", one-way = false }"#,
        r#"slow = { nodes = "seed", by = 1000000 }"#,
        r#"dark = "leechers""#,
        r#"disk = { nodes = "seed", fault = "short" }"#,
        r#"disk = { nodes = "leechers", fault = "broken" }"#,
        r#"tracker = "absent""#,
        r#"names = "unknown""#,
    ] {
        for seed in 0..5 {
            let scenario = scenario(seed, &format!("{{ at = \"100 ms\", {fault} }}"));
            let mut run = Run::new(&scenario);
            while run.advance() {}
            run.finish();
            let core = run.core.as_ref().expect("it was decided");
            assert!(core.leechers.iter().all(|node| run.world.nodes[*node].finished.is_some()), "{fault}");
            assert_eq!(run.world.checks.violations(), []);
        }
    }
}

#[test]
fn what_goes_wrong_for_good_goes_on_for_all_others() {
    let mut left_out = 0;
    for seed in 0..10 {
        let scenario = scenario(seed, r#"{ at = "100 ms", dark = "leechers/0" }"#);
        let mut run = Run::new(&scenario);
        while run.advance() {}
        run.finish();
        assert_eq!(run.world.checks.violations(), []);
        let node = run.nodes("leechers/0")[0];
        let must = run.core.as_ref().is_some_and(|core| core.leechers.contains(&node));
        assert_eq!(run.world.network.is_dark(node), !must);
        assert_eq!(run.world.nodes[node].finished.is_some(), must);
        left_out += u32::from(!must);
    }
    assert!((1..10).contains(&left_out), "some sets are without it: {left_out}");
}

#[test]
fn what_only_those_know_who_leave_nobody_must_get() {
    let scenario = |leaves: &str| -> Scenario {
        let text = format!(
            r#"
            name = "a magnet link, whose metadata one behind a router had"
            torrent = {{ files = ["1 B"], piece = "16 KiB", interval = "5 min" }}
            web-seed = [{{ name = "web" }}]
            group = [
                {{ name = "knows", {leaves} link = {{ nat = {{ kind = "port-restricted" }} }} }},
                {{ name = "asks", arrives = "7 s", magnet = true }},
            ]
            "#
        );
        text.parse().expect("it makes sense")
    };
    for (leaves, must) in [("", true), (r#"leaves = "50 s","#, false)] {
        let scenario = scenario(leaves);
        let mut run = Run::new(&scenario);
        while run.advance() {}
        run.finish();
        assert_eq!(run.world.checks.violations(), []);
        let asks = run.nodes("asks")[0];
        assert_eq!((run.core.as_ref().is_some_and(|core| core.is_whole()), run.is_done(asks)), (must, must));
    }
}

/// How long the healed set of a scenario has, in seconds.
fn patience(scenario: &Scenario) -> f64 {
    let mut run = Run::new(scenario);
    let decided = |run: &Run<'_>| run.core.as_ref().is_some_and(|core| core.is_whole());
    while !decided(&run) {
        assert!(run.advance(), "it comes to that");
    }
    run.end.since(run.world.now()).as_secs_f64()
}

#[test]
fn nobody_is_granted_a_wait_that_has_no_reason() {
    let plain = patience(&scenario(1, ""));
    // A call, a choke round, and twice the transfer: nothing is wrong here.
    assert!((50.0..70.0).contains(&plain), "{plain}");
    let with = |fault: &str| patience(&scenario(1, &format!("{{ at = \"1 s\", lasts = \"20 s\", {fault} }}"))) - plain;
    // What is announced once a minute, with 5 % of jitter; and what is dead for all that anybody knows, for 150 s, and called again 30 s later.
    assert!((53.0..93.5).contains(&with(r#"tracker = "absent""#)), "{}", with(r#"tracker = "absent""#));
    assert!((170.0..181.0).contains(&with(r#"dark = "leechers/1""#)), "{}", with(r#"dark = "leechers/1""#));
}

#[test]
fn who_cannot_be_reached_by_anybody_need_not_finish() {
    let mut scenario = scenario(1, "");
    let symmetric = Nat { kind: NatKind::Symmetric, ..Nat::default() };
    scenario.groups[0].link.nat = Some(Nat::default());
    scenario.groups[1].link.nat = Some(symmetric);
    let report = scenario.run();
    assert!(report.is_good() && report.finished == 0, "{report}");
}

/// What comes of a run that takes nodes in turns, and of one that takes everything in the order of time.
fn in_turns_and_in_order(scenario: &Scenario) -> [Report; 2] {
    [scenario.lookahead(), Duration::ZERO].map(|lookahead| {
        let mut run = Run::new(scenario);
        run.world.agenda.set_lookahead(lookahead);
        run.complete(|_| {})
    })
}

#[test]
fn what_comes_of_a_swarm_does_not_depend_on_whose_turn_comes_first() {
    for (seed, more) in ["", r#"tracker = "udp""#, r#"tracker = "none""#, "private = true"].into_iter().enumerate() {
        let text = format!(
            r#"
                name = "test"
                seed = {seed}
                torrent = {{ files = ["8 MiB"], piece = "128 KiB", interval = "1 min", {more} }}
                group = [
                    {{ name = "seed", role = "seed", link = {{ up = "1 MiB/s" }}, knows = ["leechers"] }},
                    {{ name = "leechers", count = 12, every = "170 ms", knows = ["seed"], link = {{ up = "512 KiB/s", down = "2 MiB/s" }} }},
                    {{ name = "others", count = 4, leaves = "5 s", arrives = "9 s", knows = ["seed"], link = {{ up = "1 MiB/s" }} }},
                ]
                fault = [
                    {{ at = "10 s", lasts = "3 s", crash = "leechers/3" }},
                    {{ at = "11 s", lasts = "4 s", slow = {{ nodes = "leechers/5", by = 10 }} }},
                ]
            "#
        );
        let scenario: Scenario = text.parse().expect("it makes sense");
        assert!(scenario.lookahead() >= Duration::from_millis(10));
        let [turns, order] = in_turns_and_in_order(&scenario);
        assert!(turns.is_good() && turns.finished == 16, "{turns}");
        assert_eq!(turns.completion, order.completion);
        assert_eq!(turns.samples, order.samples);
        assert_eq!(turns.traffic, order.traffic);
        assert_eq!((turns.checked, turns.inputs, turns.actions), (order.checked, order.inputs, order.actions));
    }
}

fn only_path(run: &Run<'_>) -> String {
    format!("{FOLDER}/{}", run.payload.files[0].0)
}

#[test]
fn who_has_lost_what_it_had_must_finish_again() {
    let scenario = scenario(1, "");
    let mut run = Run::new(&scenario);
    let nodes = |run: &Run<'_>| run.nodes("leechers");
    while !nodes(&run).iter().any(|node| run.is_done(*node)) {
        assert!(run.advance());
    }
    let node = nodes(&run).into_iter().find(|node| run.is_done(*node)).expect("it was found");
    run.world.crash(node, false);
    let path = only_path(&run);
    run.world.nodes[node].disk.delete(&path);
    assert!(!run.world.nodes[node].disk.holds(FOLDER, &run.payload));
    run.world.revive(node, &[]);
    assert!(!run.is_done(node) && run.world.nodes[node].finished.is_some());
    while run.advance() {}
    run.finish();
    assert_eq!(run.world.checks.violations(), []);
    assert!(run.is_done(node) && run.world.nodes[node].disk.holds(FOLDER, &run.payload));
}

#[test]
fn what_is_lost_behind_an_engines_back_is_no_mistake_and_what_it_should_know_is() {
    for (open, violations) in [(true, 0), (false, 1)] {
        let scenario = scenario(1, "");
        let mut run = Run::new(&scenario);
        let node = loop {
            assert!(run.advance());
            if let Some(node) = run.nodes("leechers").into_iter().find(|node| run.is_done(*node)) {
                break node;
            }
        };
        let path = only_path(&run);
        if open {
            run.world.nodes[node].disk.delete(&path);
        } else {
            // As if its engine had opened the files only now.
            let disk = &mut run.world.nodes[node].disk;
            disk.crash(Instant::ZERO, false, |_| None, &mut run.world.rng);
            disk.delete(&path);
        }
        run.world.check_claims(node);
        let found: Vec<Invariant> = run.world.checks.violations().iter().map(|violation| violation.invariant).collect();
        assert_eq!(found.len().min(1), violations, "{found:?}");
        assert!(found.iter().all(|found| *found == Invariant::TruePieces));
    }
}

#[cfg(feature = "planted-bugs")]
#[test]
fn a_piece_that_is_counted_without_a_word_is_found_by_a_look_at_the_disk() {
    use crate::planted::PlantedBug;
    let report = scenario(1, "").run_planted(PlantedBug::CountsUnfetched);
    assert_eq!(report.violations.first().map(|violation| violation.invariant), Some(Invariant::TruePieces));
}

#[test]
fn the_power_fails_at_one_job_of_a_disk_after_the_other() {
    let text = include_str!("../../scenarios/crash-at-every-disk-write.toml");
    let scenario: Scenario = text.parse().expect("it makes sense");
    let mut run = Run::new(&scenario);
    while run.advance() {}
    run.finish();
    assert_eq!(run.world.checks.violations(), []);
    for group in &scenario.groups[1..] {
        for node in run.nodes(&group.name) {
            let node = &run.world.nodes[node];
            assert!(node.life > 40, "{} died {} times", node.name, node.life);
            // It ended because there was nothing left to die of, not because it was spared.
            assert!(node.life < group.disk.crash_again, "{} died {} times", node.name, node.life);
            assert!(node.whole && node.disk.holds(FOLDER, &run.payload));
        }
    }
}

#[test]
fn disks_that_fail_now_and_then_do_so_though_nothing_else_goes_wrong() {
    let mut scenario = scenario(1, "");
    scenario.groups[1].disk.errors = 50;
    let mut run = Run::new(&scenario);
    run.world.options.keep_events = true;
    while run.advance() {}
    run.finish();
    assert_eq!(run.world.checks.violations(), []);
    let failed = |node: &usize| {
        let events = &run.world.nodes[*node].host().expect("it has an engine").events;
        events.iter().filter(|event| matches!(event, rustor_core::event::Event::Failed { .. })).count()
    };
    let failures: Vec<usize> = run.nodes("leechers").iter().map(failed).collect();
    assert!(failures.iter().all(|failures| *failures > 0), "{failures:?}");
}

#[test]
fn who_comes_while_something_goes_wrong_is_concerned() {
    for (fault, concerns) in [
        (r#"dark = "late""#, true),
        (r#"partition = { from = "seed", to = "late" }"#, true),
        (r#"partition = { from = "late", to = "tracker", one-way = true }"#, true),
        (r#"disk = { nodes = "late", fault = "broken" }"#, true),
        (r#"slow = { nodes = "late", by = 1000 }"#, true),
        // Whoever is not there cannot die.
        (r#"crash = "late""#, false),
    ] {
        let text = format!(
            r#"
            name = "late"
            torrent = {{ files = ["100 KiB"], piece = "16 KiB", interval = "1 min" }}
            group = [
                {{ name = "seed", role = "seed", link = {{ up = "1 MiB/s" }} }},
                {{ name = "late", arrives = "10 s", link = {{ up = "1 MiB/s", down = "1 MiB/s" }} }},
            ]
            fault = [{{ at = "5 s", lasts = "100 s", {fault} }}]
            "#
        );
        let scenario: Scenario = text.parse().expect("it makes sense");
        let mut run = Run::new(&scenario);
        advance_to(&mut run, 30);
        let late = run.nodes("late")[0];
        assert_eq!(run.is_done(late), !concerns, "{fault}");
        while run.advance() {}
        run.finish();
        assert_eq!(run.world.checks.violations(), []);
        assert!(run.is_done(late), "{fault}");
    }
}

#[test]
fn nothing_brings_back_who_has_left_nor_ends_another_crash() {
    let text = r#"
        name = "crashes"
        torrent = { files = ["2 MiB"], piece = "64 KiB", interval = "1 min" }
        group = [
            { name = "seed", role = "seed", link = { up = "1 MiB/s" } },
            { name = "leaves", leaves = "5 s" },
            { name = "dies", arrives = "30 s" },
        ]
        fault = [
            { at = "31 s", lasts = "100 s", crash = "dies" },
            { at = "35 s", lasts = "5 s", crash = "dies/0" },
            { at = "40 s", lasts = "5 s", crash = "leaves" },
        ]
    "#;
    let scenario: Scenario = text.parse().expect("it makes sense");
    let mut run = Run::new(&scenario);
    advance_to(&mut run, 60);
    let alive = |run: &Run<'_>, name| run.world.nodes[run.nodes(name)[0]].alive;
    assert!(!alive(&run, "dies") && !alive(&run, "leaves"));
    advance_to(&mut run, 132);
    assert!(alive(&run, "dies") && !alive(&run, "leaves"));
}

#[test]
fn what_would_have_no_effect_is_refused() {
    let refused = |more: &str| -> String {
        let text = format!(
            r#"
            name = "odd"
            torrent = {{ files = ["1 B"], piece = "16 KiB", tracker = "none" }}
            {more}
            "#
        );
        text.parse::<Scenario>().expect_err(more).to_string()
    };
    let with = |group: &str, fault: &str| {
        format!(
            r#"group = [{{ name = "one", role = "seed" }}, {{ name = "ill", role = {{ adversary = "liar" }} }}, {{ name = "two", {group} }}]
            fault = [{fault}]"#
        )
    };
    for (group, fault, says) in [
        ("", r#"{ at = "1 s", last = "2 s", dark = "two" }"#, "last, dark"),
        ("", r#"{ at = "1 s", dark = "two", crash = "two" }"#, "dark, crash"),
        ("", r#"{ at = "1 s" }"#, "nothing"),
        ("", r#"{ at = "1 s", slow = { nodes = "two", by = 2, how = "much" } }"#, "how"),
        ("", r#"{ at = "1 s", partition = { from = "one", to = "two", one_way = true } }"#, "one_way"),
        ("", r#"{ at = "1 s", lasts = "1 s", sever = "two" }"#, "over at once"),
        ("", r#"{ at = "1 s", slow = { nodes = "two", by = 0 } }"#, "by 0"),
        ("", r#"{ at = "1 s", loss = { nodes = "two", percent = 91, burst = 1 } }"#, "at most 90"),
        ("", r#"{ at = "1 s", tracker = "absent" }"#, "the tracker"),
        ("", r#"{ at = "1 s", names = "absent" }"#, "names"),
        ("", r#"{ at = "1 s", sever = "ill" }"#, "mean ill"),
        (r#"role = { partial = 101 }"#, "", "more than all"),
        (r#"role = "seed", leaves = "1 s""#, "", "leaves"),
        (r#"role = { adversary = "liar" }, magnet = true"#, "", "means ill"),
        (r#"disk = { crash-again = 1 }"#, "", "crashes again"),
    ] {
        let said = refused(&with(group, fault));
        assert!(said.contains(says), "{group} {fault}: {said}");
    }
}
