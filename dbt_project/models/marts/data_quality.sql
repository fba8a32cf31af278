{# One row per (symbol, session_date, check_name) that found something. Sessions with an error are
   kept out of training_rows. #}
with checks as (select * from {{ ref('int_session_checks') }}),

limits as (select * from {{ ref('data_quality_checks') }}),

{# One type for all, as unpivot asks for. #}
typed_checks as (
    select
        symbol,
        session_date,
        columns(* exclude (symbol, session_date))::double
    from checks
),

session_figures as (
    from typed_checks
    unpivot (
        figure for check_name in (
            bars_without_session_count,
            outside_bar_count,
            duplicate_version_count,
            zero_volume_run,
            rth_zero_volume_count,
            revision_count,
            missing_minute_count,
            daily_close_difference,
            overnight_jump,
            sessions_since_last
        )
    )
),

figures as (
    from session_figures
    union all by name
    from {{ ref('int_stray_rows') }}
),

found as (
    select
        figures.symbol,
        figures.session_date,
        figures.check_name,
        figures.figure,
        case
            when figures.figure >= limits.error_from then 'error'
            when figures.figure >= limits.warning_from then 'warning'
            else 'info'
        end as severity,
        limits.meaning
    from figures
    inner join limits on figures.check_name = limits.check_name
    where figures.figure >= limits.info_from
)

select * from found
