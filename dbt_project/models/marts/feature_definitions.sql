{# One row per feature: what features_1m.yml declares of it. definition_hash is one value for all:
   the hash of the text of every model and macro and var that the features are made from. #}
{{ feature_definitions() }}
