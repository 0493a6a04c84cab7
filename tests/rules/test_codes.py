"""Every code of the API, and every one of our own, means what the API's documentation makes of it.

The table below is written from the documentation (product 1061: page 44246 and the error code page) and not
from the code: what a code says to a person decides whether it is tried again, told, and to whom.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.rules.codes import CODES, FAMILIES, UNKNOWN, Code, code_row

FO, IE = "FailedOperation.", "InternalError."

Row = tuple[str | None, str, str | None, str | None, bool]
"""Class (None where no answer has it, so that nothing asks), outcome, category, advice, billed."""

MATCHED: Row = ("verdict", "matched", None, None, True)
MISMATCHED: Row = ("verdict", "mismatched", "similarity", "review", True)
CAPTURE: Row = ("person", "rejected", "capture", "retake_live", False)
LIVENESS: Row = ("person", "rejected", "liveness", "retake_live", False)
SPOOF: Row = ("person", "rejected", "spoof", "review", False)
IMAGE: Row = ("person", "rejected", "image", "replace_image", False)
TRANSIENT: Row = ("transient", "failed", "service", "retry_later", False)
THROTTLED: Row = ("throttled", "failed", "service", "retry_later", False)
CONFIGURATION: Row = ("configuration", "failed", "configuration", "fix_configuration", False)
MISSING: Row = (None, "incomplete", "missing", "upload_missing", False)

ON_THE_PAGE: dict[str, Row] = {
    FO + "ActionLightDark": CAPTURE,
    IE + "ActionLightDark": CAPTURE,
    FO + "ActionLightStrong": CAPTURE,
    IE + "ActionLightStrong": CAPTURE,
    IE + "ActionNodetectFace": CAPTURE,
    FO + "SilentFaceDetectFail": CAPTURE,
    FO + "SilentFaceQualityFail": CAPTURE,
    FO + "SilentMultiFaceFail": CAPTURE,
    FO + "LivessDetectFail": LIVENESS,
    FO + "LivessUnknownError": LIVENESS,
    FO + "SilentDetectFail": LIVENESS,
    FO + "SilentThreshold": LIVENESS,
    FO + "LivessDetectFake": SPOOF,
    FO + "SilentPictureLiveFail": SPOOF,
    FO + "LifePhotoDetectFake": SPOOF,
    FO + "ImageBlur": IMAGE,
    FO + "ImageDecodeFailed": IMAGE,
    FO + "ImageSizeTooLarge": IMAGE,
    FO + "LifePhotoSizeError": IMAGE,
    IE + "LifePhotoSizeError": IMAGE,
    IE + "LifePhotoPoorQuality": IMAGE,
    IE + "CompareLowSimilarity": MISMATCHED,
    FO + "DownLoadError": TRANSIENT,
    FO + "DownLoadTimeoutError": TRANSIENT,
    FO + "LivessSystemError": TRANSIENT,
}
"""The codes that page 44246 lists for the action."""

SUCCESS: dict[str, Row] = {
    "Success": MATCHED,
    "Livepair.BelowMinSimilarity": MISMATCHED,
    FO + "CompareLowSimilarity": MISMATCHED,
    "Livepair.NoSimilarity": (*TRANSIENT[:4], True),
}

OF_THE_PRODUCT: dict[str, Row] = {
    **dict.fromkeys(
        [
            FO + "CompareFail",
            FO + "CompareSystemError",
            FO + "DetectEngineSystemError",
            FO + "UnKnown",
            FO + "CompareLibServiceUnavailable",
            FO + "FileSaveError",
            FO + "DbError",
            FO + "DecryptSystemError",
            FO + "EncryptSystemError",
            IE + "EncryptSystemError",
            IE + "UnKnown",
            "InternalError",
            "LimitExceeded",
            "ResourceInsufficient",
            "ServiceUnavailable",
            "ServerNetworkError",
            "ClientNetworkError",
            "Livepair.UnreadableAnswer",
        ],
        TRANSIENT,
    ),
    **dict.fromkeys(
        [
            FO + "LifePhotoDetectFaces",
            FO + "LifePhotoDetectNoFaces",
            FO + "LifePhotoPoorQuality",
            FO + "CoveredFace",
            FO + "IncompleteFace",
            FO + "PoorImageQuality",
            FO + "EmptyImageError",
        ],
        IMAGE,
    ),
    **dict.fromkeys(
        [
            FO + "LivessBestFrameError",
            FO + "SilentEyeLiveFail",
            FO + "SilentMouthLiveFail",
            FO + "SilentFaceWithMaskFail",
            FO + "SilentTooShort",
            FO + "VideoDecodeFailed",
            FO + "VideoDurationExceeded",
            FO + "CompressVideoError",
            FO + "ActionNodetectFace",
            FO + "ActionCloseEye",
            FO + "ActionOpenMouth",
            FO + "ActionFirstAction",
            FO + "ActionFaceClose",
            FO + "ActionFaceFar",
            FO + "ActionFaceLeft",
            FO + "ActionFaceRight",
        ],
        CAPTURE,
    ),
    FO + "RequestLimitExceeded": THROTTLED,
    **dict.fromkeys(
        [
            FO + "StsUnAuthErrError",
            "OperationDenied",
            "ResourceNotFound",
            "ActionOffline",
            "InvalidAction",
            "NoSuchVersion",
            "NoSuchProduct",
            "IpInBlacklist",
            "IpNotInWhitelist",
            "MissingParameter",
            "UnknownParameter",
            "InvalidRequest",
            "RequestSizeLimitExceeded",
        ],
        CONFIGURATION,
    ),
}
"""The other codes of the product's error code page, and those that all of Tencent's APIs share."""

OF_AN_ACCOUNT: dict[str, Row] = {
    f"UnauthorizedOperation.{last}": CONFIGURATION
    for last in (
        "Nonactivated",
        "Activating",
        "ActivateError",
        "Arrears",
        "NonAuthorize",
        "ChargeStatusException",
    )
}
"""An account that may not call (pages 37075, 55390 and the SDKs): no policy of a role mends these."""

OUR_OWN: dict[str, Row] = {
    "Livepair.LiveMissing": MISSING,
    "Livepair.ImageMissing": MISSING,
    "Livepair.TooManyVerdicts": (None, *SPOOF[1:]),
    "Livepair.LiveEmpty": (None, *CAPTURE[1:]),
    "Livepair.LiveTooLarge": (None, *CAPTURE[1:]),
    "Livepair.LiveArchived": (None, *CAPTURE[1:]),
    "Livepair.ImageEmpty": (None, *IMAGE[1:]),
    "Livepair.ImageTooLarge": (None, *IMAGE[1:]),
    "Livepair.ImageArchived": (None, *IMAGE[1:]),
    "Livepair.UploadUnreadable": CONFIGURATION,
    "Livepair.AnswerLost": TRANSIENT,
}

TABLE: dict[str, Row] = {**ON_THE_PAGE, **SUCCESS, **OF_THE_PRODUCT, **OF_AN_ACCOUNT, **OUR_OWN}

OF_FAMILIES: dict[str, Row] = {
    "RequestLimitExceeded": THROTTLED,
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded": THROTTLED,
    "RequestLimitExceeded.IPLimitExceeded": THROTTLED,
    "RequestLimitExceeded.UinLimitExceeded": THROTTLED,
    "AuthFailure": CONFIGURATION,
    "AuthFailure.SignatureExpire": CONFIGURATION,
    "AuthFailure.SignatureFailure": CONFIGURATION,
    "AuthFailure.SecretIdNotFound": CONFIGURATION,
    "AuthFailure.TokenFailure": CONFIGURATION,
    "AuthFailure.UnauthorizedOperation": CONFIGURATION,
    "UnauthorizedOperation": CONFIGURATION,
    "UnauthorizedOperation.Activate": CONFIGURATION,
    "ResourceUnavailable": CONFIGURATION,
    "ResourceUnavailable.ChargeStatusException": CONFIGURATION,
    "ResourceUnavailable.InArrears": CONFIGURATION,
    "ResourceUnavailable.NotExist": CONFIGURATION,
    "AuthFailure.Deeper.Still": CONFIGURATION,
    "Unsupported": CONFIGURATION,
    "Unsupported.Region": CONFIGURATION,
    "UnsupportedOperation": CONFIGURATION,
    "UnsupportedOperation.BrandNew": CONFIGURATION,
    "UnsupportedProtocol": CONFIGURATION,
    "UnsupportedRegion": CONFIGURATION,
    "InvalidParameter": CONFIGURATION,
    "InvalidParameter.EmptyParams": CONFIGURATION,
    "InvalidParameterValue": CONFIGURATION,
    "InvalidParameterValue.UrlIllegal": CONFIGURATION,
    "InvalidParameterCombination": CONFIGURATION,
}
"""Codes that have no row of their own, but a family's."""


def told(code: str) -> Row:
    row = code_row(code)
    return row.klass, row.outcome, row.category, row.advice, row.billed


def agrees(code: str, expected: Row) -> bool:
    return told(code)[1:] == expected[1:] and expected[0] in (None, told(code)[0])


@pytest.mark.parametrize(("code", "expected"), TABLE.items())
def test_a_code_means_what_the_documentation_says(code: str, expected: Row) -> None:
    """Class, outcome, category, advice and whether it is billed, code by code."""
    assert code in CODES
    assert agrees(code, expected), told(code)


def test_no_code_is_in_one_table_only() -> None:
    """A code that is added to the program is added here, with its source."""
    forgotten, gone = CODES.keys() - TABLE.keys(), TABLE.keys() - CODES.keys()
    assert not forgotten, f"say in tests/rules/test_codes.py what its source says of {', '.join(forgotten)}"
    assert not gone, f"documented, and in no table of rules/codes.py: {', '.join(gone)}"
    assert len(ON_THE_PAGE) == 25, "the API's own page lists 25 codes"


@pytest.mark.parametrize(("code", "expected"), OF_FAMILIES.items())
def test_a_code_without_a_row_has_its_familys(code: str, expected: Row) -> None:
    """Tencent adds codes below a family without notice; what happens then is the family's."""
    assert code not in CODES
    assert agrees(code, expected), told(code)


@pytest.mark.parametrize(
    "code", [code for code in TABLE if code.startswith((FO, IE)) and code.count(".") == 1]
)
def test_both_families_of_the_api_repeat_each_others_codes(code: str) -> None:
    """FailedOperation.X and InternalError.X mean the same, whichever of them is documented."""
    family, last = code.split(".")
    other = (IE if family == "FailedOperation" else FO) + last
    assert agrees(other, TABLE.get(other, TABLE[code]))


@pytest.mark.parametrize("code", [code for code in TABLE if code.startswith((FO, IE))])
def test_an_answer_may_leave_the_family_out(code: str) -> None:
    """The last part alone is as good."""
    last = code.rpartition(".")[2]
    assert agrees(last, TABLE.get(FO + last, TABLE[code]))


def test_a_codes_own_row_comes_before_the_other_familys() -> None:
    """Where both families have a row, each has its own: here they happen to say the same."""
    for last in ("LifePhotoPoorQuality", "CompareLowSimilarity", "ActionNodetectFace", "UnKnown"):
        assert code_row(FO + last) is CODES[FO + last]
        assert code_row(IE + last) is CODES[IE + last]


@pytest.mark.parametrize(
    "code",
    [
        "",
        ".",
        "None",
        "FailedOperation.",
        "FailedOperation.BrandNew",
        "InternalError.BrandNew",
        "InternalError.Success",
        "Other.LivessDetectFake",
        "FailedOperation.Deeper.LivessDetectFake",
        "failedoperation.livessdetectfake",
        " Success",
        "success",
        "Livepair.BrandNew",
        "XAuthFailure",
        "X.AuthFailure",
        "RequestLimitExceededX",
        "RequestLimitExceededX.IPLimitExceeded",
        "AuthFailureX",
        "AuthFailure ",
        "UnauthorizedOperationX",
        "ResourceUnavailableX",
        "authfailure",
        "XUnsupportedOperation",
        "invalidparameter",
    ],
)
def test_a_code_that_nobody_knows_fails_at_once_and_is_passed_through(code: str) -> None:
    """It is tried no second time and told as it came: `failed`, with the advice to try later."""
    assert code_row(code) is UNKNOWN
    assert told(code) == ("unknown", "failed", "service", "retry_later", False)


@given(st.text(max_size=30) | st.builds("{}.{}".format, st.sampled_from([FO[:-1], IE[:-1], "x"]), st.text()))
def test_any_code_at_all_has_a_row(code: str) -> None:
    """Whatever the API answers, there is something to do and something to tell."""
    row = code_row(code)
    assert isinstance(row, Code)
    assert code in CODES or row in (UNKNOWN, *CODES.values(), *(family for _, family in FAMILIES))


ROWS = [*CODES.values(), *(row for _, row in FAMILIES), UNKNOWN]


@pytest.mark.parametrize("row", ROWS, ids=[*CODES, *(name for name, _ in FAMILIES), "any other"])
def test_a_row_agrees_with_itself(row: Code) -> None:
    """What cannot be: a person's failure that is tried again, a verdict for nothing, a row without words."""
    outcomes: dict[str, set[str]] = {"verdict": {"matched", "mismatched"}, "person": {"rejected"}}
    assert row.outcome in outcomes.get(row.klass, {"failed", "incomplete"})
    assert row.says
    assert row.says == " ".join(row.says.split())
    assert (row.outcome == "matched") == (row.category is None) == (row.advice is None)
    advice: dict[str | None, set[str | None]] = {
        "similarity": {"review"},
        "spoof": {"review"},
        "liveness": {"retake_live"},
        "capture": {"retake_live"},
        "image": {"replace_image"},
        "missing": {"upload_missing"},
        "service": {"retry_later"},
        "configuration": {"fix_configuration"},
        None: {None},
    }
    assert row.advice in advice[row.category]


def test_an_account_that_may_not_call_is_not_told_of_its_role() -> None:
    """Each has words of its own: who reads them activates the service or settles a bill."""
    says = [code_row(code).says for code in OF_AN_ACCOUNT]
    assert len(set(says)) == len(OF_AN_ACCOUNT)
    assert not any("role" in each for each in says)
    assert "role" in code_row("UnauthorizedOperation").says


def test_a_quota_is_not_called_a_rate() -> None:
    """`FailedOperation.RequestLimitExceeded` tells of a number of calls, and names no time."""
    assert "a second" not in code_row("FailedOperation.RequestLimitExceeded").says
    assert "a second" in code_row("RequestLimitExceeded").says
    assert "a second" in code_row("RequestLimitExceeded.UinLimitExceeded").says


def test_only_success_and_low_similarity_are_billed() -> None:
    """As the error code page says; a Success without a similarity is a Success to the bill."""
    assert {code for code, row in CODES.items() if row.billed} == {
        "Success",
        "Livepair.BelowMinSimilarity",
        "Livepair.NoSimilarity",
        "FailedOperation.CompareLowSimilarity",
        "InternalError.CompareLowSimilarity",
    }
    assert not any(row.billed for _, row in FAMILIES)
    assert not UNKNOWN.billed
