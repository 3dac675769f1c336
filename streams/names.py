"""Names that must be the same in every process: the Faust apps, which are also their consumer groups."""

NORMALIZER_GROUP = "khaywe-normalizer"
CUSTOMERS_GROUP = "khaywe-customers"
PROJECTOR_GROUP = "khaywe-projector"
