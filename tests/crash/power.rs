//! Power cuts: what was not synced is lost, what was acknowledged is not.

use libtest_mimic::Failed;

use crate::disk::SHUTDOWN;
use crate::mock::Mock;
use crate::support::PATIENCE;
use crate::support::is_long;
use crate::support::load::Load;
use crate::support::relay::Site;
use crate::volume::Volume;

pub fn ext4() -> Result<(), Failed> {
    cut("ext4", &Volume::ext4(128))
}

pub fn xfs() -> Result<(), Failed> {
    cut("xfs", &Volume::xfs())
}

fn cut(name: &str, volume: &Volume) -> Result<(), Failed> {
    let mock = Mock::start("power");
    // Small segments, so that cuts also hit rotation, removal and the making of spares.
    let more = [SHUTDOWN, ("journal", "segment_size = \"1MiB\"")];
    let site = Site::of(&mock.bootstrap, "power", Some(volume.journal()), &more);
    // Three with a long load before each, and more in quick succession: one cut in ten hits a sync at its most critical moment.
    let (cuts, long) = if is_long() { (12, 5_000) } else { (3, 700) };
    let mut relay = site.start();
    let load = Load::start(&relay, "power", 500, 1_000);
    for round in 0..cuts {
        let events = if round < 3 { long } else { 1_000 };
        load.await_acknowledged(events + round * 97);
        // Half of the cuts find a backlog.
        if round % 2 == 1 {
            mock.down();
            load.await_acknowledged(events);
        }
        volume.cut_power();
        // A real machine would be off; here writes fail, which ends the relay.
        assert_eq!(relay.wait(PATIENCE).code(), Some(1));
        volume.remount();
        mock.up();
        relay = site.start();
        load.turn_to(&relay);
    }
    load.await_acknowledged(500);
    let tally = load.end();
    relay.await_drained();
    tally.assert_kept(
        &format!("{cuts} power cuts on {name}"),
        &mock.bootstrap,
        "power",
    );
    Ok(())
}
