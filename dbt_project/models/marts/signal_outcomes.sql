{# One row per signal of an ended session: what came of buying at the next bar's open. #}
with signals as (select * from {{ ref('stg_signals') }}),

labels as (select * from {{ ref('labels_1m') }})

select
    signals.seq,
    signals.symbol,
    signals.session_date,
    signals.bar_at,
    signals.state,
    signals.score,
    signals.thr,
    signals.model_run,
    labels.entry_price,
    labels.mfe_30m,
    labels.mae_30m,
    labels.hit_30m,
    labels.hit_30m_net,
    labels.mfe_60m,
    labels.mae_60m,
    labels.hit_60m,
    labels.hit_60m_net
from signals
inner join labels using (symbol, bar_at)
