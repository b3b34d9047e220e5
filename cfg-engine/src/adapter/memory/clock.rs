//! Time for the memory store: it passes only when somebody reads or steps it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::adapter::ClockReading;
use crate::history::Timestamp;

/// 2024-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_millis(1_704_067_200_000);

/// A clock that starts at 2024-01-01T00:00:00Z, advances 1 ms per reading, and can be stepped.
///
/// Clones are the same clock.
#[derive(Debug, Clone)]
pub struct MemoryClock(Arc<Mutex<Ticks>>);

#[derive(Debug)]
struct Ticks {
    wall: Timestamp,
    monotonic: Duration,
    per_reading: Duration,
}

impl Default for MemoryClock {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryClock {
    /// Starts at 2024-01-01T00:00:00Z, 1 ms per reading.
    pub fn new() -> Self {
        Self::starting_at(START, Duration::from_millis(1))
    }

    /// Starts at an instant; each reading advances it by `per_reading`.
    pub fn starting_at(start: Timestamp, per_reading: Duration) -> Self {
        MemoryClock(Arc::new(Mutex::new(Ticks { wall: start, monotonic: Duration::ZERO, per_reading })))
    }

    /// Sets the wall clock, forwards or back, as an administrator would: monotonic time does not notice.
    pub fn set(&self, wall: Timestamp) {
        self.ticks().wall = wall;
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        self.ticks().advance(by);
    }

    fn read(&self) -> ClockReading {
        let mut ticks = self.ticks();
        let reading = ClockReading { store: ticks.wall, taken: ticks.monotonic };
        let by = ticks.per_reading;
        ticks.advance(by);
        reading
    }

    fn ticks(&self) -> MutexGuard<'_, Ticks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticks {
    fn advance(&mut self, by: Duration) {
        self.wall = self.wall.plus_millis(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
        self.monotonic += by;
    }
}

/// Where a store's time comes from.
#[derive(Clone)]
pub(super) enum Source {
    Logical(MemoryClock),
    Given(Arc<dyn Fn() -> Timestamp + Send + Sync>),
}

impl Source {
    pub(super) fn read(&self) -> ClockReading {
        match self {
            Source::Logical(clock) => clock.read(),
            Source::Given(clock) => ClockReading { store: clock(), taken: Duration::ZERO },
        }
    }

    pub(super) fn monotonic(&self) -> Duration {
        match self {
            Source::Logical(clock) => clock.ticks().monotonic,
            Source::Given(_) => Duration::ZERO,
        }
    }
}
