//! Power cuts: the store is on an ext4 of a loop device, which is shut down without flushing its log while a sync
//! runs, and mounted again. What the ledger had said was done must be there. Needs root, and a loop device.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::check;
use super::content::{self, Content};
use super::disk::Mount;
use super::findings::Findings;
use super::lab::{self, Dice, Outcome};
use super::site::Site;

/// Large enough for every store here.
const BYTES: u64 = 48 << 20;
/// The longest that the server takes for an answer.
const DELAY: Duration = Duration::from_millis(30);

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH` (fs/ext4/ext4.h): from here on nothing reaches the disk. In
/// Python, since an ioctl is unsafe code in Rust.
const SHUTDOWN: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

/// Why it cannot be done here; none: it can.
pub(crate) fn missing(directory: &Path) -> Option<String> {
    let tried = || -> Result<()> {
        let image = image_of(directory);
        make(&image)?;
        let _mount = mount(&image, directory)?;
        shut_down(directory)
    };
    tried()
        .err()
        .map(|error| format!("power cuts: not tried, they need root, a loop device and python3 ({error:#})"))
}

/// Cuts the power so often, each time of a new store.
pub(crate) fn cuts(site: &Site, times: u64, seed: u64, enough: fn(&Findings) -> bool) -> Result<Outcome> {
    let mut total = Outcome::default();
    let mut acknowledged = 0;
    let calm = calm(site)?;
    for nth in 0..times {
        let mut outcome = Outcome { tried: 1, hit: 1, ..Outcome::default() };
        acknowledged += one(site, calm.mul_f64(0.3 + 1.1 * Dice(seed + nth).unit()), &mut outcome)?;
        outcome.found = outcome.found.of(&format!("power cut, seed {}", seed + nth));
        total.add(outcome);
        if enough(&total.found) {
            break;
        }
    }
    total.notes = vec![format!("{acknowledged} requests were acknowledged before the cuts")];
    Ok(total)
}

/// How long a run takes there that is not cut.
fn calm(site: &Site) -> Result<Duration> {
    let image = image_of(&site.directory);
    make(&image)?;
    let _mounted = mount(&image, &site.directory)?;
    site.clear()?;
    site.server.set_delay(DELAY);
    Ok(site.run(site.command())?.took)
}

/// Cuts the power after so long. Says how many requests were acknowledged.
fn one(site: &Site, life: Duration, outcome: &mut Outcome) -> Result<u64> {
    let image = image_of(&site.directory);
    make(&image)?;
    let mounted = mount(&image, &site.directory)?;
    site.clear()?;
    site.server.set_delay(DELAY);
    let mut running = site.start(site.command())?;
    sleep(life);
    let ended = running.child.try_wait()?.is_some();
    let before = if ended { content::read(site)? } else { content::live(site).unwrap_or_default() };
    shut_down(&site.directory)?;
    running.kill_after(Duration::ZERO)?;
    site.server.set_delay(Duration::ZERO);
    drop(mounted);
    let _mounted = mount(&image, &site.directory)?;
    let acknowledged = done(&before);
    let after = content::read(site)?;
    let still_done = done(&after);
    let lost: Vec<&i64> = acknowledged.difference(&still_done).collect();
    if !lost.is_empty() {
        outcome.found.lost += lost.len() as u64;
        outcome.found.say(format!("requests {lost:?} were done before the cut, and are not after it"));
    }
    if ended {
        // It had said that it is complete: then all of it is there at once.
        let stage = check::Stage::Complete(1);
        let mut found = check::check(&after, site.kind, site.server.size(), stage);
        found.forgive_leftovers();
        outcome.found.add(found);
    } else if lab::is_complete(&before, 1) && !lab::is_complete(&after, 1) {
        outcome.found.disagree("the run was complete before the cut, and is not after it".to_owned());
    }
    // The plan's file is the laboratory's own, and was not synced.
    site.write_plan()?;
    outcome.found.add(lab::settle(site, 1)?);
    Ok(acknowledged.len() as u64)
}

fn done(content: &Content) -> BTreeSet<i64> {
    content.requests.iter().filter(|request| request.state == "done").map(|request| request.id).collect()
}

fn image_of(directory: &Path) -> PathBuf {
    let mut name = directory.to_owned().into_os_string();
    name.push(".image");
    PathBuf::from(name)
}

/// A new file system in a file.
fn make(image: &Path) -> Result<()> {
    let file = File::create(image).with_context(|| format!("cannot create {}", image.display()))?;
    file.set_len(BYTES)?;
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-F"]).arg(image).stdout(Stdio::null()).stderr(Stdio::null());
    ensure!(command.status().context("cannot run mkfs.ext4")?.success(), "mkfs.ext4 failed");
    Ok(())
}

fn mount<'d>(image: &Path, directory: &'d Path) -> Result<Mount<'d>> {
    Mount::of(directory, &["-t", "ext4", "-o", "loop", &image.to_string_lossy()])
}

fn shut_down(directory: &Path) -> Result<()> {
    let mut command = Command::new("python3");
    command.args(["-c", SHUTDOWN]).arg(directory).stderr(Stdio::null());
    ensure!(command.status().context("cannot run python3")?.success(), "the file system cannot be shut down");
    Ok(())
}
