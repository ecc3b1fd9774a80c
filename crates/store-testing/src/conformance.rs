//! The list of all cases, as a macro that makes a test of each.

/// Makes a test of every case for one kind of store: `store_testing::conformance!(&Sqlite)`.
#[macro_export]
macro_rules! conformance {
    ($kind:expr) => {
        $crate::conformance! {
            @tests $kind;
            batches = batches {
                batches_are_drawn_when_full_and_when_the_parent_ends,
            }
            boundary = boundary {
                records_at_the_cursor_are_dropped_once,
            }
            children = children {
                only_new_and_changed_records_of_a_merge_table_drive_children,
                an_unchanged_row_still_gets_its_task,
                a_failed_child_is_owed_to_the_next_run_and_settled_once,
                undoing_a_run_carries_over_what_only_it_would_have_asked_for,
                a_changed_child_starts_over_with_every_record_of_its_parent,
                what_a_child_that_started_over_still_lacks_is_made_up_for,
                a_child_that_started_over_and_was_left_out_is_taken_in_once,
                a_child_starts_over_with_the_task_whose_rows_it_multiplies_with,
                a_retry_has_the_children_that_its_records_drive_and_the_full_copies_that_read_its_rows,
                what_a_list_is_read_from_starts_over_with_what_multiplies_with_it,
                a_child_that_changed_between_runs_is_driven_by_every_record_unless_it_appends,
                a_run_without_the_children_owes_them_to_the_next,
                a_run_without_the_children_owes_them_also_where_their_parent_appends_what_comes_once,
                what_an_undone_run_owes_to_a_task_left_out_is_owed_once,
                a_full_refresh_drives_every_child_again,
                the_pages_behind_a_refused_record_are_opened,
                a_run_resumed_without_the_children_owes_them_to_the_next,
                a_run_resumed_with_the_children_it_had_left_out_asks_for_them,
                a_run_resumed_with_parents_owes_the_children_it_still_leaves_out,
                a_changed_parent_starts_over_also_in_a_run_without_its_children,
                children_that_are_new_in_a_plan_are_driven_by_every_record_once,
                a_child_that_is_owed_and_driven_again_is_asked_for_once,
            }
            columns = columns {
                types_widen_and_values_stay,
                names_that_clash_or_are_none,
                hostile_names_are_only_names,
                fields_beyond_what_a_row_holds,
                five_thousand_fields,
                a_schema_that_changes_on_every_page,
                no_digit_changes,
                text_that_no_store_need_hold,
                instants_and_days,
                an_instant_that_is_too_fine,
            }
            cursors = cursors {
                published_when_the_chain_has_ended,
                a_debt_holds_it_back,
                a_run_sees_what_held_when_it_began_and_undo_goes_back,
                a_full_refresh_ignores_but_keeps,
            }
            debts = debts {
                a_failed_page_of_an_incremental_append_is_asked_for_alone_and_moves_the_cursor,
                what_fails_again_sits_out_if_it_appends_and_stays_owed,
                debts_of_left_out_and_of_changed_specs_are_not_forgotten,
                windows_publish_the_contiguous_prefix_and_go_on_from_what_was_reached,
                retry_makes_what_failed_and_nothing_else,
                a_retry_whose_plan_changes_still_makes_what_failed,
                a_full_copy_of_children_is_retried_with_the_records_that_drove_it,
                children_that_want_all_rows_read_them_from_the_table,
                a_head_with_several_combinations_publishes_when_its_spec_ends,
                a_head_that_could_not_be_evaluated_is_expanded_anew_and_only_a_retry_brings_it_back,
                a_child_that_sat_out_waits_for_what_its_combination_is_owed,
            }
            debts_anew = debts::anew {
                a_chain_that_begins_anew_since_its_plan_has_changed_appends_nothing_twice,
                halves_of_one_window_are_chains_of_their_own_when_they_begin_anew,
                what_fails_in_every_run_is_owed_once,
                a_retried_mirror_whose_plan_changes_removes_nothing_that_it_returned,
            }
            lines = lines {
                lines_land_as_they_came,
            }
            model = model {
                landings_equal_the_model,
            }
            modes = modes {
                append_adds,
                merge_keeps_the_last_of_a_key_and_nulls_what_is_absent,
                merge_by_two_columns,
                a_record_without_its_key_fails_its_landing_only,
                replace_swaps_at_the_end,
                replace_with_a_failure_keeps_the_old_content,
                staging_survives_the_process,
                tables_of_others_are_refused,
                an_error_leaves_nothing_and_the_store_usable,
                a_key_that_comes_later_is_taken_if_the_rows_allow,
            }
            refusals = refusals {
                the_second_is_told_who_has_it,
                a_newer_ledger_is_refused,
                fifty_tables_at_once,
            }
            resume = resume {
                a_resumed_run_knows_how_far_it_is,
                whoever_only_resumes_is_told_how_the_last_run_ended,
                a_changed_plan_is_refused_resumed_or_undone,
                fresh_keeps_what_other_runs_landed_and_drops_staging,
                runs_of_two_plans_share_a_store,
            }
            shapes = shapes {
                a_mirror_removes_or_marks_what_a_complete_run_did_not_return,
                a_mirror_that_starts_over_does_not_count_what_it_landed_before,
                columns_have_the_type_that_the_plan_says,
                a_frozen_table_takes_no_other_columns,
                a_second_run_changes_nothing_but_the_task_of_what_came_again,
                rows_keep_their_number_when_a_column_widens,
            }
            simulation = simulation {
                every_record_lands_once,
            }
            spooled = spooled {
                all_parts_land_with_the_first_records,
                the_last_of_equal_keys_wins_over_parts,
                a_refused_part_refuses_the_whole,
                records_of_parts_drive_children,
                a_boundary_runs_through_parts,
            }
        }
    };
    (@tests $kind:expr; $($name:ident = $($module:ident)::+ { $($case:ident,)+ })+) => {
        $($crate::conformance! { @module $kind; $name [$($module)::+] $($case,)+ })+
    };
    (@module $kind:expr; $name:ident $path:tt $($case:ident,)+) => {
        mod $name {
            $($crate::conformance! { @test $kind; $path $case })+
        }
    };
    (@test $kind:expr; [$($module:ident)::+] $case:ident) => {
        #[test]
        fn $case() {
            let kind: &dyn $crate::Kind = $kind;
            if kind.is_there() {
                $crate::cases::$($module::)+$case(kind);
            }
        }
    };
}
