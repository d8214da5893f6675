r"""Derivatives against differences: do the rules give the derivative of what is computed?

For y = f(x) and a cotangent v the rules give the gradient Jᵀv of ⟨v, f(x)⟩. Its entry i must be

    D = Σ v · (f(x + h eᵢ) - f(x - h eᵢ)) / 2h  =  (Jᵀv)ᵢ + O(h² f‴/6) + O(ε |f| / h).

To read, in this order:

- `numeric`: how differences fail, and how wrong a slope found by them can be;
- `check`: which slopes are measured, with which cotangents, at which orders;
- `contract`: what can be found out without any difference;
- `cause`: what a wrong gradient tells about its rule;
- `function` and `report`: what goes in and what comes out.
"""

from minigrad.gradcheck.check import check_grads, gradcheck, gradgradcheck
from minigrad.gradcheck.contract import check_adjoint
from minigrad.gradcheck.report import Finding, GradcheckError, Report
