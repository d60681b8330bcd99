"""What no JSON Schema can say of a request, the document says in words, and nothing of it is sent from here as valid.

A total is at most 9007199254740991 minor units; a search is for at most ten words.
"""

import schemathesis

TOTAL_MAX = 9_007_199_254_740_991
WORDS_MAX = 10


@schemathesis.hook
def filter_body(context, body):
    return not is_too_much(body)


@schemathesis.hook
def filter_query(context, query):
    words = (query or {}).get("q", "")
    # Whatever may stand between two words, for some reader of Unicode.
    return not isinstance(words, str) or sum(not character.isalnum() for character in words) < WORDS_MAX


def is_too_much(body):
    try:
        return sum(line["quantity"] * line["unitPrice"] for line in body["items"]) > TOTAL_MAX
    except (KeyError, TypeError, AttributeError):
        return False
