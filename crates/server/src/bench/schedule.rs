//! The open loop's timetable: operation k is due at start + k / rate, whatever the server does.
//!
//! Operations go round-robin to the worker's connections and wait there if the connection is busy or down; their latency
//! runs from when they were due. That is the correction for coordinated omission: a stall delays what is due during it.

/// When a worker's operations are due.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start_ns: u64,
    operations_per_second: f64,
    connections: u64,
    /// How many operations have come due so far.
    arrived: u64,
}

impl Schedule {
    /// `operations_per_second` (above zero) from `start_ns` on, over so many connections (at least one).
    pub fn new(start_ns: u64, operations_per_second: f64, connections: usize) -> Schedule {
        Schedule {
            start_ns,
            operations_per_second,
            connections: connections as u64,
            arrived: 0,
        }
    }

    /// When the next operation is due.
    pub fn next_due_ns(&self) -> u64 {
        self.due_ns(self.arrived)
    }

    /// The connection whose operation is due now or earlier, if there is one; called until it gives none.
    pub fn arrive(&mut self, now_ns: u64) -> Option<usize> {
        if self.next_due_ns() > now_ns {
            return None;
        }
        let connection = self.arrived % self.connections;
        self.arrived += 1;
        Some(connection as usize)
    }

    /// When the connection's own `number`th operation was due.
    pub fn due_of_connection_ns(&self, connection: usize, number: u64) -> u64 {
        self.due_ns(number * self.connections + connection as u64)
    }

    fn due_ns(&self, operation: u64) -> u64 {
        self.start_ns + (operation as f64 * 1e9 / self.operations_per_second) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn every_operation_has_its_own_due_time_and_connection() {
        let mut schedule = Schedule::new(1_000, 1e6, 3);
        let mut counts = [0; 3];
        for operation in 0..100u64 {
            let due_ns = 1_000 + operation * 1_000;
            assert_eq!(schedule.next_due_ns(), due_ns);
            assert_eq!(schedule.arrive(due_ns - 1), None);
            let connection = schedule.arrive(due_ns).expect("due");
            assert_eq!(schedule.due_of_connection_ns(connection, counts[connection]), due_ns);
            counts[connection] += 1;
        }
        assert_eq!(counts, [34, 33, 33]);
    }

    #[test]
    fn a_pause_leaves_all_that_came_due_meanwhile() {
        let mut schedule = Schedule::new(0, 1_000.0, 2);
        let mut arrived = 0;
        while schedule.arrive(1_000_000_000).is_some() {
            arrived += 1;
        }
        assert_eq!(arrived, 1_001);
    }
}
