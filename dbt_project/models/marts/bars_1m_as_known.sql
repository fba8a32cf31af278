{# A table function: from marts.bars_1m_as_known(timestamp '2025-11-05 15:00') has one row per
   (symbol, bar_at, provider) that had landed by then, in the version that was current then. #}
{{ bars_as_known(ref('stg_bars_1m'), ref('stg_bar_revisions'), 'known_at') }}
