//! Every fault point of the engine, failed and killed: afterwards the machine
//! is as before, and the next command works.
//!
//! `podrt::sys::fault::Point` names the points; a scenario for each part of
//! them runs once for each way of interfering, and must have reached the point.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use podrt::sys::fault::{FAIL, HIT, KILL, Point, VARIABLE};
use serde_json::json;

use crate::pod_life::shell_pod;
use crate::support::machine::{Picture, alone};
use crate::support::{Bundle, FIXTURE_IMAGE, Ran, World, fixture_rootfs, run, skip};

/// The points of `first..=last`, in the order of the enum.
fn points(first: Point, last: Point) -> impl Iterator<Item = Point> {
    Point::ALL[first as usize..=last as usize].iter().copied()
}

/// True where the test is to go on: on a machine of its own, all of which can
/// be compared. A build without fault points tests nothing.
#[track_caller]
fn begins(test: &str) -> bool {
    let has = std::env::var_os("PODRT_TEST_BIN").is_none() && cfg!(debug_assertions);
    if !has {
        skip(test, "release executables have no fault points");
    }
    has && alone(&format!("faults::{test}"))
}

/// One armed point.
struct Fault {
    point: Point,
    mode: u8,
    file: PathBuf,
}

impl Fault {
    fn arm(world: &World, point: Point, mode: u8) -> Self {
        let file = world.path().join("faults");
        let mut bytes = vec![0; Point::ALL.len()];
        bytes[point as usize] = mode;
        // In place: a process of an earlier round may still map the old file.
        let _ = fs::remove_file(&file);
        fs::write(&file, bytes).expect("write");
        Self { point, mode, file }
    }

    fn podrt(&self, world: &World, args: &[&str]) -> Ran {
        run(world.command(args).env(VARIABLE, &self.file))
    }

    fn was_hit(&self) -> bool {
        fs::read(&self.file).expect("read")[self.point as usize] == HIT
    }

    #[track_caller]
    fn assert_hit(&self) {
        assert!(self.was_hit(), "{self} was never reached");
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", if self.mode == FAIL { "failing" } else { "killing" }, self.point)
    }
}

/// Both ways of interfering at each of `points`; after each the machine is as
/// it was, and so it is after `next`, which works.
fn each(
    world: &World,
    points: impl Iterator<Item = Point>,
    scenario: impl Fn(&Fault),
    next: impl Fn(),
) {
    round(world, points, &[FAIL, KILL], scenario, next);
}

fn round(
    world: &World,
    points: impl Iterator<Item = Point>,
    modes: &[u8],
    scenario: impl Fn(&Fault),
    next: impl Fn(),
) {
    let begin = Picture::of_all(world).without_files();
    next();
    // Once nothing runs any more, the files that are there stay.
    begin.await_again("the first round", || Picture::of(world).without_files());
    let before = Picture::of(world);
    for point in points {
        for &mode in modes {
            let fault = Fault::arm(world, point, mode);
            // The name of the point is what a panic inside lacks.
            eprintln!("{fault}");
            scenario(&fault);
            fault.assert_hit();
            before.await_again(&fault.to_string(), || Picture::of(world));
            next();
            before.await_again(&format!("what came after {fault}"), || Picture::of(world));
        }
    }
    world.assert_clean();
    // The bridge too; images and locks are files that stay.
    begin.await_again("all of it", || Picture::of_all(world).without_files());
}

#[test]
fn a_create_that_fails_or_dies_at_any_stage_leaves_nothing_that_delete_does_not_take() {
    if !begins("a_create_that_fails_or_dies_at_any_stage_leaves_nothing_that_delete_does_not_take")
    {
        return;
    }
    let world = World::new();
    let id = world.name("c");
    let mut bundle = Bundle::new(&world, "b", &["true"]);
    bundle.config["process"]["oomScoreAdj"] = json!(500);
    let path = bundle.write();
    let create = points(Point::ClaimState, Point::Gate);
    let next = || {
        world.podrt(&["create", "-b", &path, &id]).ok();
        world.podrt(&["delete", "--force", &id]).ok();
    };
    let fails = |fault: &Fault| {
        let ran = fault.podrt(&world, &["create", "-b", &path, &id]);
        assert_ne!(ran.code, 0, "{fault}: {ran:?}");
        if fault.mode == FAIL {
            assert!(ran.stderr.contains("fault("), "{fault}: {ran:?}");
            world.assert_clean();
        }
        world.podrt(&["delete", "--force", &id]).ok();
    };
    each(&world, create, fails, next);
}

#[test]
fn a_start_that_fails_or_dies_is_told_and_leaves_a_container_that_can_be_deleted() {
    if !begins("a_start_that_fails_or_dies_is_told_and_leaves_a_container_that_can_be_deleted") {
        return;
    }
    let world = World::new();
    let id = world.name("c");
    let path = Bundle::new(&world, "b", &["true"]).write();
    let next = || {
        world.podrt(&["run", "-b", &path, &id]).ok();
    };
    let fails = |fault: &Fault| {
        fault.podrt(&world, &["create", "-b", &path, &id]).ok();
        let ran = fault.podrt(&world, &["start", &id]);
        if fault.mode == FAIL {
            assert!(ran.error(1).contains("fault("), "{fault}");
        }
        world.podrt(&["delete", "--force", &id]).ok();
    };
    each(&world, points(Point::StartContainerHooks, Point::Exec), fails, next);
}

#[test]
fn an_image_that_is_not_committed_is_not_there_and_the_next_import_works() {
    if !begins("an_image_that_is_not_committed_is_not_there_and_the_next_import_works") {
        return;
    }
    let world = World::new();
    let rootfs = fixture_rootfs().to_string_lossy().into_owned();
    let import = ["image", "import", &rootfs, FIXTURE_IMAGE];
    let next = || {
        world.podrt(&import).ok();
        let ran = world.run_pod(&shell_pod("after", "Never", "echo works"), &["--rm"]);
        assert!(ran.stdout.contains("works") && ran.code == 0, "{ran:?}");
        world.podrt(&["image", "rm", FIXTURE_IMAGE]).ok();
        world.podrt(&["image", "prune"]).ok();
    };
    let fails = |fault: &Fault| {
        let ran = fault.podrt(&world, &import);
        assert_ne!(ran.code, 0, "{fault}: {ran:?}");
        let listed = world.podrt(&["image", "list"]).ok();
        assert!(!listed.contains("podrt.local/fixture"), "{fault}: {listed}");
        world.podrt(&["image", "prune"]).ok();
    };
    each(&world, points(Point::UnpackLayer, Point::PutImageName), fails, next);
}

#[test]
fn a_pods_start_that_fails_or_dies_anywhere_is_taken_up_or_can_be_deleted() {
    if !begins("a_pods_start_that_fails_or_dies_anywhere_is_taken_up_or_can_be_deleted") {
        return;
    }
    let world = World::with_fixture();
    let all = points(Point::SandboxCgroup, Point::SetUpVolume)
        .chain(points(Point::ClaimPod, Point::CommitStatus))
        .filter(|point| !matches!(point, Point::StopSandbox | Point::ReleaseAddress));
    each(&world, all, |fault| pod_round(&world, fault), || runs_a_pod(&world));
}

#[test]
fn a_containers_start_in_a_pod_that_fails_or_dies_is_seen_and_can_be_deleted() {
    if !begins("a_containers_start_in_a_pod_that_fails_or_dies_is_seen_and_can_be_deleted") {
        return;
    }
    let world = World::with_fixture();
    let some = [Point::MakeCgroup, Point::CloneInit, Point::FinishContainer, Point::Rootfs];
    let some = some.into_iter().chain([Point::Gate, Point::Exec]);
    each(&world, some, |fault| pod_round(&world, fault), || runs_a_pod(&world));
}

#[test]
fn a_pods_end_that_fails_or_dies_anywhere_is_finished_nevertheless() {
    if !begins("a_pods_end_that_fails_or_dies_anywhere_is_finished_nevertheless") {
        return;
    }
    let world = World::with_fixture();
    let end = [
        Point::StopSandbox,
        Point::ReleaseAddress,
        Point::TearDownVolumes,
        Point::FinishPod,
        Point::LeaveShimsCgroup,
    ];
    each(&world, end.into_iter(), |fault| pod_round(&world, fault), || runs_a_pod(&world));
}

#[test]
fn a_pod_whose_shim_dies_while_it_ends_by_itself_runs_nothing_again() {
    if !begins("a_pod_whose_shim_dies_while_it_ends_by_itself_runs_nothing_again") {
        return;
    }
    let world = World::with_fixture();
    let points = [Point::StopSandbox, Point::ReleaseAddress, Point::TearDownVolumes];
    let ends = |fault: &Fault| {
        let init = format!(
            "  initContainers: [ {{ name: init, image: {FIXTURE_IMAGE}, command: [echo, once] }} ]
  containers:"
        );
        let manifest = shell_pod("own", "OnFailure", "echo done");
        let file = world.file("own.yaml", &manifest.replace("  containers:", &init));
        let ran = fault.podrt(&world, &["run", &file.to_string_lossy()]).ok();
        assert_eq!(ran.matches("once").count(), 1, "{fault}: {ran}");
        let pod = world.pod("own");
        assert_eq!(pod["status"]["phase"], "Succeeded");
        assert_eq!(pod["status"]["initContainerStatuses"][0]["restartCount"], 0, "{fault}");
        world.podrt(&["delete", "pod", "own"]).ok();
    };
    round(&world, points.into_iter(), &[KILL], ends, || runs_a_pod(&world));
}

/// Starts a pod, meets the fault, and deletes the pod.
fn pod_round(world: &World, fault: &Fault) {
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done";
    let manifest = shell_pod("fault", "Always", script)
        + "      volumeMounts: [ { name: v, mountPath: /v } ]\n  volumes: [ { name: v, emptyDir: { medium: Memory } } ]\n";
    let file = world.file("pod.yaml", &manifest);
    let file = file.to_string_lossy();
    let ran = fault.podrt(world, &["run", "-d", "--wait=none", &file]);
    if ran.code == 0 {
        await_fault_or_running(world, fault);
        let ran = world.podrt(&["delete", "pod", "fault", "--grace-period=1"]);
        if ran.code != 0 {
            assert_eq!(fault.mode, FAIL, "{fault}: {ran:?}");
        }
    }
    world.podrt(&["delete", "pod", "fault", "--force", "--ignore-not-found"]).ok();
}

fn runs_a_pod(world: &World) {
    let ran = world.run_pod(&shell_pod("next", "Never", "echo works"), &["--rm"]);
    assert!(ran.stdout.contains("works") && ran.code == 0, "{ran:?}");
}

/// Until the fault has struck, or (when it waits for the pod's end) the pod runs.
#[track_caller]
fn await_fault_or_running(world: &World, fault: &Fault) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !fault.was_hit() {
        let ran = world.podrt(&["logs", "fault"]);
        if ran.stdout.contains("up\n") {
            return;
        }
        assert!(Instant::now() < deadline, "{fault}: {ran:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_point_is_in_a_scenario() {
    // The ranges above, by their ends: a point put between two is in one.
    let ranges = [
        points(Point::ClaimState, Point::Gate).count(),
        points(Point::StartContainerHooks, Point::Exec).count(),
        points(Point::SandboxCgroup, Point::SetUpVolume).count(),
        1, // TearDownVolumes
        points(Point::UnpackLayer, Point::PutImageName).count(),
        points(Point::ClaimPod, Point::CommitStatus).count(),
        2, // FinishPod, LeaveShimsCgroup
    ];
    assert_eq!(ranges.iter().sum::<usize>(), Point::ALL.len());
}
