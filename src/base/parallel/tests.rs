//! Tests of order, errors and panics on one and on several threads.

use super::*;
use std::sync::mpsc;
use std::time::Duration;

/// Runs work on its own thread pool. Returns `None` if the work panics, and fails if it does not
/// end.
fn on_threads<T: Send + 'static>(n_threads: usize, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .build()
            .unwrap();
        sender.send(pool.install(work)).ok();
    });
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(result) => Some(result),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the work never ended on {n_threads} threads"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            worker.join().unwrap_err();
            None
        }
    }
}

/// Fails for some parts. The first of them fails last, so that it competes with higher parts.
fn step_of(part: usize, failing: &[usize]) -> Result<usize> {
    if !failing.contains(&part) {
        return Ok(part * part);
    }
    if part == failing[0] {
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(Error::usage(format!("<{part}>")))
}

const THREADS: [usize; 4] = [1, 2, 3, 8];

#[test]
fn fold_sees_every_part_once_or_reports_the_lowest_that_failed() {
    let check = |n: usize, failing: &'static [usize], expected: Option<&str>| {
        for n_threads in THREADS {
            let found = on_threads(n_threads, move || {
                fold_parts(n, Vec::new, |seen, part| {
                    step_of(part, failing)?;
                    seen.push(part);
                    Ok(())
                })
            })
            .unwrap();
            let place = format!("{n} parts, {failing:?} fail, {n_threads} threads");
            match (found, expected) {
                (Ok(states), None) => {
                    assert!((1..=n_threads).contains(&states.len()), "{place}");
                    let mut seen = states.concat();
                    seen.sort_unstable();
                    assert_eq!(seen, (0..n).collect::<Vec<_>>(), "{place}");
                }
                (Err(error), Some(text)) => assert!(error.to_string().contains(text), "{place}: {error}"),
                (found, _) => panic!("{place}: {found:?}"),
            }
        }
    };
    check(0, &[], None);
    check(1, &[], None);
    check(2, &[], None);
    check(7, &[], None);
    check(1_000, &[], None);
    check(1, &[0], Some("<0>"));
    check(8, &[2, 7], Some("<2>"));
    check(8, &[0, 1, 2, 3, 4, 5, 6, 7], Some("<0>"));
    check(100, &[49, 50, 99], Some("<49>"));
}

#[test]
fn a_panic_of_a_part_ends_the_fold() {
    for n_threads in THREADS {
        let found = on_threads(n_threads, || {
            fold_parts(
                10,
                || (),
                |(), part| {
                    assert_ne!(part, 4, "expected by the test");
                    Ok(())
                },
            )
            .is_ok()
        });
        assert_eq!(found, None, "{n_threads} threads");
    }
}

#[test]
fn results_arrive_in_order_up_to_the_lowest_that_failed() {
    let check = |n: usize, failing: &'static [usize], n_taken: usize, expected: Option<&str>| {
        for n_threads in THREADS {
            let (found, taken) = on_threads(n_threads, move || {
                let mut taken = Vec::new();
                let found = map_in_order(
                    n,
                    |part| step_of(part, failing),
                    |part, value| {
                        taken.push((part, value));
                        Ok(())
                    },
                );
                (found.map_err(|error| error.to_string()), taken)
            })
            .unwrap();
            let place = format!("{n} parts, {failing:?} fail, {n_threads} threads");
            let in_order: Vec<(usize, usize)> = (0..n_taken).map(|part| (part, part * part)).collect();
            assert_eq!(taken, in_order, "{place}");
            match (found, expected) {
                (Ok(()), None) => {}
                (Err(error), Some(text)) => assert!(error.contains(text), "{place}: {error}"),
                (found, _) => panic!("{place}: {found:?}"),
            }
        }
    };
    check(0, &[], 0, None);
    check(1, &[], 1, None);
    check(2, &[], 2, None);
    check(500, &[], 500, None);
    check(1, &[0], 0, Some("<0>"));
    check(9, &[0, 1, 8], 0, Some("<0>"));
    check(9, &[5, 6, 8], 5, Some("<5>"));
    check(500, &[499], 499, Some("<499>"));
}

#[test]
fn few_results_wait_for_a_slow_consumer() {
    for n_threads in THREADS {
        let most = on_threads(n_threads, || {
            let n_started = AtomicUsize::new(0);
            let mut most = 0;
            map_in_order(
                100,
                |part| {
                    n_started.fetch_add(1, Ordering::SeqCst);
                    Ok(part)
                },
                |part, _| {
                    std::thread::sleep(Duration::from_millis(1));
                    most = most.max(n_started.load(Ordering::SeqCst) - part);
                    Ok(())
                },
            )
            .unwrap();
            most
        });
        assert!(
            most.unwrap() <= 1 + 2 * n_threads,
            "{most:?} on {n_threads} threads"
        );
    }
}

#[test]
fn an_error_of_the_consumer_stops_the_workers() {
    for n_threads in THREADS {
        let (error, n_started) = on_threads(n_threads, || {
            let n_started = AtomicUsize::new(0);
            let found = map_in_order(
                1_000,
                |part| {
                    n_started.fetch_add(1, Ordering::SeqCst);
                    Ok(part)
                },
                |part, _| {
                    if part == 3 {
                        Err(Error::usage("no room"))
                    } else {
                        Ok(())
                    }
                },
            );
            (found.unwrap_err().to_string(), n_started.into_inner())
        })
        .unwrap();
        assert!(error.contains("no room"), "{error}");
        assert!(
            n_started <= 4 + 2 * n_threads,
            "{n_started} parts were computed on {n_threads} threads"
        );
    }
}

#[test]
fn a_panic_on_either_side_ends_the_work() {
    let check = |in_compute: bool| {
        for n_threads in THREADS {
            let found = on_threads(n_threads, move || {
                map_in_order(
                    100,
                    |part| {
                        assert!(!in_compute || part != 4, "expected by the test");
                        Ok(part)
                    },
                    |part, _| {
                        assert!(in_compute || part != 4, "expected by the test");
                        Ok(())
                    },
                )
                .is_ok()
            });
            assert_eq!(found, None, "in compute: {in_compute}, {n_threads} threads");
        }
    };
    check(true);
    check(false);
}
