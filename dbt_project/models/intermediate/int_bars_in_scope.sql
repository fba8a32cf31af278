{# The rows of int_bars_1m_lagged that are being built now: what features and labels are made of. #}
select *
from {{ ref('int_bars_1m_lagged') }}
{{ in_scope() }}
