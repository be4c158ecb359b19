//! Scenarios that every adapter has to pass, for an adapter's own tests.
//!
//! Everything in this crate runs over the adapter's [`Runtime`](crate::adapter::Runtime), so it is tested over each of them.
//! A scenario is an `async fn` that takes the runtime and panics where it does not behave. An adapter instantiates them:
//!
//! ```ignore
//! /// Runs one scenario to its end.
//! fn run<F: Future<Output = ()>>(scenario: impl FnOnce(MyRuntime) -> F) {
//!     my_runtime::block_on(scenario(MyRuntime::new()));
//! }
//!
//! rustor_runtime::conformance!(run);
//! ```
//!
//! The scenarios are about the runtime itself (streams, datagrams, timers, names), about HTTP over it, and about whole clients. In
//! a debug build every host holds the engine and itself to their contract while they run: exactly one answer for each action.
//!
//! Servers are plain threads on ports of the operating system's choice, nothing leaves the machine but announces of local discovery
//! in its scenarios, and no scenario measures time: where one has to run out, the other side waits for longer than anyone would.

// What a scenario finds wrong it reports by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

pub mod clients;
pub mod datagrams;
pub mod downloads;
pub mod http_client;
pub mod http_server;
pub mod https;
pub mod lab;
pub mod local_discovery;
pub mod names;
pub mod streams;
pub mod support;
pub mod timers;
pub mod trackers;
pub mod web_seeds;

#[cfg(test)]
mod tests;

/// Makes a test of each named scenario of the module `$module`.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($run:ident, $module:ident: $($scenario:ident)*) => {
        mod $module {
            $(
                #[test]
                fn $scenario() {
                    super::$run(|runtime| $crate::conformance::$module::$scenario(runtime));
                }
            )*
        }
    };
}

/// Makes a test of each scenario, run by the function that is named; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! conformance {
    ($run:ident) => {
        $crate::conformance_tests! { $run, streams:
            bytes_go_both_ways
            a_refused_connection_is_an_error
            a_connection_that_nobody_answers_can_be_given_up
            our_side_can_end_alone
            the_other_side_can_end_alone
            a_reset_is_told_from_an_end
            a_stream_that_nobody_reads_takes_no_more
            several_buffers_go_out_in_one_write
            any_number_of_buffers_goes_out_in_order
            reading_and_writing_wait_separately
            the_latest_context_is_woken
            a_dropped_stream_is_closed
            a_listener_takes_in_everyone
            a_waiting_listener_is_woken
            a_port_is_taken_until_its_listener_is_dropped
            many_streams_at_once_each_get_their_own
        }
        $crate::conformance_tests! { $run, datagrams:
            a_datagram_arrives_with_its_sender
            every_size_arrives_whole_and_alone
            a_datagram_too_long_is_an_error_and_no_more
            what_the_buffer_cannot_hold_is_cut
            datagrams_to_nobody_break_nothing
            a_waiting_receiver_is_woken_and_can_send_meanwhile
            a_burst_is_received_in_order
        }
        $crate::conformance_tests! { $run, timers:
            a_timer_that_is_not_set_never_expires
            a_timer_is_never_early
            an_expired_timer_stays_so_until_it_is_set_again
            a_waiting_timer_can_be_set_to_earlier_and_to_later
            under_load_timers_wake_in_the_order_of_their_deadlines
            thousands_of_timers_expire_each
        }
        $crate::conformance_tests! { $run, names:
            an_address_resolves_to_itself
            localhost_is_this_machine
            a_name_that_cannot_be_is_an_error
            many_names_are_looked_up_at_once
        }
        $crate::conformance_tests! { $run, clients:
            a_removed_torrent_is_gone_with_its_files_if_that_was_asked_for
            after_a_shutdown_everything_says_so
            the_last_handle_to_go_shuts_the_engine_down
            a_host_that_is_dropped_leaves_nobody_waiting
            what_was_asked_for_is_done_even_if_nobody_waits_for_the_answer
            a_recorded_session_replays_to_the_same_actions
            a_port_in_use_is_named
            all_addresses_get_the_same_port
        }
        $crate::conformance_tests! { $run, downloads:
            a_torrent_goes_from_one_client_to_another
            several_leechers_help_each_other
            a_later_session_believes_resume_data_that_fits_the_files
            a_paused_torrent_stands_still_until_it_is_resumed
            a_recheck_finds_what_was_damaged_and_fetches_it_again
            a_disk_that_fails_ends_the_wait
            peers_come_from_a_tracker
            shutdown_in_the_middle_loses_nothing_that_was_verified
            shutdown_does_not_wait_for_those_who_never_answer
            a_torrent_comes_over_ipv6
            among_two_hundred_connections_a_leecher_is_served
        }
        $crate::conformance_tests! { $run, web_seeds:
            a_torrent_comes_from_a_web_server_alone
            what_a_web_server_breaks_off_it_is_asked_for_again
            a_web_server_stops_half_way_and_a_peer_appears
            a_pause_closes_the_connection_to_a_web_server
        }
        $crate::conformance_tests! { $run, http_client:
            a_request_says_who_asks_for_what
            a_body_of_known_length_arrives_whole
            a_chunked_body_is_joined
            a_body_can_end_with_the_connection
            an_answer_without_a_body_is_complete
            gzip_is_unpacked
            a_zip_bomb_is_stopped
            a_cut_gzip_body_is_an_error
            an_error_status_is_an_answer
            interim_answers_are_skipped
            redirects_are_followed
            a_redirect_loop_ends
            a_redirect_to_nowhere_is_an_error
            a_redirect_into_a_private_network_is_refused
            a_redirect_between_public_servers_is_followed
            a_cut_answer_is_an_error
            an_endless_body_is_stopped
            a_body_announced_too_large_is_not_begun
            endless_headers_are_stopped
            endless_packaging_is_stopped
            what_is_not_http_is_an_error
            a_silent_server_times_out
            a_dribbling_server_times_out
            a_refused_connection_is_told
            a_name_that_is_unknown_is_told
            a_missing_address_family_is_told
            the_family_asked_for_is_used
            the_next_address_is_tried_where_one_refuses
            the_next_address_is_tried_beside_a_silent_one
            silent_addresses_time_out
            a_range_is_asked_for_and_told
            a_body_is_streamed_as_it_comes
            the_deadline_of_a_stream_can_be_moved
            user_and_password_are_sent
            a_request_can_be_a_task_of_its_own
        }
        $crate::conformance_tests! { $run, https:
            a_trusted_server_is_talked_to
            a_redirect_can_lead_to_encryption
            an_unknown_issuer_is_refused
            the_system_does_not_trust_strangers
            an_expired_certificate_is_refused
            a_certificate_for_another_name_is_refused
            a_server_without_encryption_is_told
            a_server_that_hangs_up_on_the_greeting_is_told
            no_trust_at_all_is_told
            a_cut_encrypted_body_is_an_error
        }
        $crate::conformance_tests! { $run, http_server:
            the_client_is_answered
            requests_sent_in_one_go_are_answered_in_order
            head_gets_the_length_only
            a_client_of_version_1_0_sees_the_end
            a_request_may_come_byte_by_byte
            other_methods_are_refused
            a_head_too_large_is_refused
            garbage_is_refused
            a_silent_client_is_dropped
            a_client_that_never_finishes_is_dropped
            connections_beyond_the_limit_wait
            shutdown_closes_idle_connections
        }
        $crate::conformance_tests! { $run, local_discovery:
            clients_of_one_network_find_each_other
        }
        $crate::conformance_tests! { $run, trackers:
            both_protocols_share_a_port_and_a_shutdown_frees_it
            peers_find_each_other_by_our_own_tracker_over_udp
            who_has_not_proven_its_address_is_not_answered
            swarms_are_counted_over_both_protocols
            what_a_tracker_does_not_tell_is_an_error
        }
    };
}
