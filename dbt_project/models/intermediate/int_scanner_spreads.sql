{# One row per (symbol, session_date it is for) that passes the funnel up to the score: the EDGE
   spread of the 21 daily bars before the session. Only for these: its 34 sums are dear. #}
with passing as (
    select
        symbol,
        session_date,
        session_count
    from {{ ref('int_scanner_inputs') }}
    {{ in_scope('int_sessions_in_scope', 'session_date') }}
    where failed_step is null
),

bars as (select * from {{ ref('int_daily_features') }}),

terms as (
    select
        symbol,
        session_count,
        {{ edge_terms() }}
    from bars
    where previous_close is not null
),

sums as (
    select
        passing.symbol,
        passing.session_date,
        count(*) as bar_count,
        {{ edge_sums() }}
    from passing
    inner join terms
        on
            passing.symbol = terms.symbol
            and terms.session_count between passing.session_count - 19 and passing.session_count
    group by passing.symbol, passing.session_date
),

spreads as (
    {{ edge_spread('sums', ['symbol', 'session_date'], 20) }}
)

select
    symbol,
    session_date,
    spread as edge_21d
from spreads
