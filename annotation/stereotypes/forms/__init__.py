"""Forms of sets of stereotypes, one a file: each says which columns it is known by, and reads one row of them."""

from annotation.stereotypes.forms import heseia, laces, plain, seegull
from annotation.stereotypes.found import Form

FORMS: tuple[Form, ...] = (seegull.FORM, laces.FORM, heseia.FORM, plain.FORM)
"""The first that fits is taken."""

FILLED_IN = heseia.FILLED_IN
