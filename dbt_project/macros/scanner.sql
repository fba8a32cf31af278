{# Common stock of the scanned exchanges, trading, by the profile and, where it is known, the
   master file. #}
{% macro is_common_stock(profile, universe) -%}
    coalesce(
        list_contains({{ var('scanner_exchanges') }}, {{ profile }}.exchange)
        and coalesce({{ profile }}.is_actively_trading, true)
        and not coalesce({{ profile }}.is_etf, false)
        and not coalesce({{ profile }}.is_fund, false)
        and not coalesce({{ universe }}.is_etf, false)
        and not coalesce({{ universe }}.is_test_issue, false),
        false
    )
{%- endmacro %}
