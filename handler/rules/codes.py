"""What each code of the API means, and each of livepair's own: one table. Pure.

Source: Tencent eKYC API documentation, product 1061: page 44246 (the action and its codes); the product's
error code page (which codes are billed, as of 2023-06); pages 37075 and 55390, and the SDKs (who may
not call).
"""

from typing import Literal, NamedTuple

NO_SIMILARITY = "Livepair.NoSimilarity"
"""A `Success` without a usable similarity. Each is billed, so it is asked once more and not again."""

TOO_MANY_VERDICTS = "Livepair.TooManyVerdicts"
"""The pair has had MAX_VERDICTS verdicts: no call is made for other recordings of it."""

Class = Literal["verdict", "person", "throttled", "transient", "configuration", "unknown"]
Outcome = Literal["matched", "mismatched", "rejected", "incomplete", "failed"]


class Code(NamedTuple):
    """What a code means. `klass` says what happens next, the rest what the webhook tells."""

    klass: Class
    outcome: Outcome
    category: str | None
    advice: str | None
    says: str
    billed: bool = False


def _rejected(category: str, advice: str, *codes: tuple[str, str]) -> dict[str, Code]:
    return {code: Code("person", "rejected", category, advice, says) for code, says in codes}


_CAPTURE = (
    ("FailedOperation.ActionLightDark", "the light is too dim"),
    ("InternalError.ActionLightDark", "the light is too dim"),
    ("FailedOperation.ActionLightStrong", "the light is too strong"),
    ("InternalError.ActionLightStrong", "the light is too strong"),
    ("InternalError.ActionNodetectFace", "no full face is seen"),
    ("FailedOperation.ActionNodetectFace", "no full face is seen"),
    ("FailedOperation.SilentFaceDetectFail", "no face is seen in the video"),
    ("FailedOperation.SilentFaceQualityFail", "the face is of low quality"),
    ("FailedOperation.SilentMultiFaceFail", "several faces are seen"),
    ("FailedOperation.LivessBestFrameError", "no good frame was found"),
    ("FailedOperation.SilentEyeLiveFail", "the eyes were not shown to be live"),
    ("FailedOperation.SilentMouthLiveFail", "the mouth was not shown to be live"),
    ("FailedOperation.SilentFaceWithMaskFail", "the face wears a mask"),
    ("FailedOperation.SilentTooShort", "the video is too short"),
    ("FailedOperation.VideoDecodeFailed", "the video cannot be read"),
    ("FailedOperation.VideoDurationExceeded", "the video is too long"),
    ("FailedOperation.CompressVideoError", "the video cannot be compressed"),
    ("FailedOperation.ActionCloseEye", "the eyes are closed"),
    ("FailedOperation.ActionOpenMouth", "the mouth is open"),
    ("FailedOperation.ActionFirstAction", "no first action was seen"),
    ("FailedOperation.ActionFaceClose", "the face is too close"),
    ("FailedOperation.ActionFaceFar", "the face is too far away"),
    ("FailedOperation.ActionFaceLeft", "the face is too far left"),
    ("FailedOperation.ActionFaceRight", "the face is too far right"),
)
_LIVENESS = (
    ("FailedOperation.LivessDetectFail", "liveness was not shown"),
    ("FailedOperation.LivessUnknownError", "the video was not shown to be of a real person"),
    ("FailedOperation.SilentDetectFail", "the video was not shown to be of a real person"),
    ("FailedOperation.SilentThreshold", "liveness is below the passing standard"),
)
_SPOOF = (
    ("FailedOperation.LivessDetectFake", "the recording is suspected to be fake"),
    ("FailedOperation.SilentPictureLiveFail", "the recording might be fake"),
    ("FailedOperation.LifePhotoDetectFake", "the comparison with a real person failed"),
)
_IMAGE = (
    ("FailedOperation.ImageBlur", "the image is blurred"),
    ("FailedOperation.ImageDecodeFailed", "the image cannot be read"),
    ("FailedOperation.ImageSizeTooLarge", "the image is too large"),
    ("FailedOperation.LifePhotoSizeError", "the image is too large or too small"),
    ("InternalError.LifePhotoSizeError", "the image is too large or too small"),
    ("InternalError.LifePhotoPoorQuality", "the image's resolution is too low"),
    ("FailedOperation.LifePhotoPoorQuality", "the image's resolution is too low"),
    ("FailedOperation.LifePhotoDetectFaces", "the image shows several faces"),
    ("FailedOperation.LifePhotoDetectNoFaces", "the image shows no face"),
    ("FailedOperation.CoveredFace", "the face in the image is covered"),
    ("FailedOperation.IncompleteFace", "the face in the image is incomplete"),
    ("FailedOperation.PoorImageQuality", "the image is of poor quality"),
    ("FailedOperation.EmptyImageError", "the image is empty"),
)
_TRANSIENT = (
    ("FailedOperation.DownLoadError", "the API could not fetch the uploads"),
    ("FailedOperation.DownLoadTimeoutError", "the API could not fetch the uploads in time"),
    ("FailedOperation.LivessSystemError", "the liveness engine failed"),
    ("FailedOperation.CompareFail", "the comparison failed"),
    ("FailedOperation.CompareSystemError", "the comparison engine failed"),
    ("FailedOperation.DetectEngineSystemError", "the detection engine failed"),
    ("FailedOperation.UnKnown", "an error without a name"),
    ("FailedOperation.CompareLibServiceUnavailable", "the comparison service is unavailable"),
    ("FailedOperation.FileSaveError", "the API could not save a file"),
    ("FailedOperation.DbError", "the API's database failed"),
    ("FailedOperation.DecryptSystemError", "the API could not decrypt"),
    ("FailedOperation.EncryptSystemError", "the API could not encrypt"),
    ("InternalError.EncryptSystemError", "the API could not encrypt"),
    ("InternalError.UnKnown", "an error without a name"),
    ("InternalError", "an internal error"),
    ("LimitExceeded", "a quota is used up"),
    ("ResourceInsufficient", "resources are short"),
    ("ServiceUnavailable", "the service is unavailable"),
    ("ServerNetworkError", "the API answered with an HTTP error"),
    ("ClientNetworkError", "the API could not be reached, or its answer was lost"),
    ("Livepair.UnreadableAnswer", "the API's answer could not be read"),
    (NO_SIMILARITY, "the API said Success without a usable similarity"),
    ("Livepair.AnswerLost", "every instance that asked the API ended before it could record the answer"),
)
_CONFIGURATION = (
    ("UnauthorizedOperation.Nonactivated", "the account has not activated eKYC"),
    ("UnauthorizedOperation.Activating", "eKYC is being activated for the account"),
    ("UnauthorizedOperation.ActivateError", "eKYC could not be activated for the account"),
    ("UnauthorizedOperation.Arrears", "the account owes money"),
    ("UnauthorizedOperation.ChargeStatusException", "the account's billing of eKYC is not in order"),
    ("UnauthorizedOperation.NonAuthorize", "the account's owner has not verified their own identity"),
    ("FailedOperation.StsUnAuthErrError", "the API was refused access"),
    ("OperationDenied", "the operation is denied"),
    ("ResourceNotFound", "a resource is not there"),
    ("ActionOffline", "the action is offline"),
    ("InvalidAction", "the action is not known"),
    ("NoSuchVersion", "the API version is not known"),
    ("NoSuchProduct", "the product is not known"),
    ("IpInBlacklist", "the address is blocked"),
    ("IpNotInWhitelist", "the address is not allowed"),
    ("MissingParameter", "a parameter is missing"),
    ("UnknownParameter", "a parameter is not known"),
    ("InvalidRequest", "the request is not valid"),
    ("RequestSizeLimitExceeded", "the request is too large"),
    ("Livepair.UploadUnreadable", "an upload may not be read, or is archived"),
)

CODES: dict[str, Code] = {
    "Success": Code("verdict", "matched", None, None, "at or above MIN_SIMILARITY", billed=True),
    "Livepair.BelowMinSimilarity": Code(
        "verdict", "mismatched", "similarity", "review", "Success, but below MIN_SIMILARITY", billed=True
    ),
    "InternalError.CompareLowSimilarity": Code(
        "verdict", "mismatched", "similarity", "review", "below the API's passing standard", billed=True
    ),
    "FailedOperation.CompareLowSimilarity": Code(
        "verdict", "mismatched", "similarity", "review", "below the API's passing standard", billed=True
    ),
    **_rejected("capture", "retake_live", *_CAPTURE),
    **_rejected("liveness", "retake_live", *_LIVENESS),
    **_rejected("spoof", "review", *_SPOOF),
    **_rejected(
        "spoof", "review", (TOO_MANY_VERDICTS, "the pair has had MAX_VERDICTS verdicts; not sent to the API")
    ),
    **_rejected("image", "replace_image", *_IMAGE),
    **{
        code: Code("transient", "failed", "service", "retry_later", says, code == NO_SIMILARITY)
        for code, says in _TRANSIENT
    },
    **{
        code: Code("configuration", "failed", "configuration", "fix_configuration", says)
        for code, says in _CONFIGURATION
    },
    "FailedOperation.RequestLimitExceeded": Code(
        "throttled", "failed", "service", "retry_later", "too many calls, perhaps for a day; not executed"
    ),
    "Livepair.LiveMissing": Code(
        "unknown", "incomplete", "missing", "upload_missing", "no live package came in PAIR_TIMEOUT"
    ),
    "Livepair.ImageMissing": Code(
        "unknown", "incomplete", "missing", "upload_missing", "no image came in PAIR_TIMEOUT"
    ),
    **_rejected(
        "capture",
        "retake_live",
        ("Livepair.LiveEmpty", "the live package is empty; not sent to the API"),
        ("Livepair.LiveTooLarge", "the live package is larger than MAX_LIVE_BYTES; not sent to the API"),
        ("Livepair.LiveArchived", "the live package was uploaded to an archive; not sent to the API"),
    ),
    **_rejected(
        "image",
        "replace_image",
        ("Livepair.ImageEmpty", "the image is empty; not sent to the API"),
        ("Livepair.ImageTooLarge", "the image is larger than MAX_IMAGE_BYTES; not sent to the API"),
        ("Livepair.ImageArchived", "the image was uploaded to an archive; not sent to the API"),
    ),
}
"""One row for every code."""

_THROTTLED = CODES["FailedOperation.RequestLimitExceeded"]._replace(
    says="too many calls a second; not executed"
)

FAMILIES: tuple[tuple[str, Code], ...] = (
    ("RequestLimitExceeded", _THROTTLED),
    *(
        (family, Code("configuration", "failed", "configuration", "fix_configuration", says))
        for family, says in (
            ("AuthFailure", "the credentials are refused"),
            ("UnauthorizedOperation", "the role may not call the API"),
            ("ResourceUnavailable", "the service is not activated, in arrears or suspended"),
            ("Unsupported", "the region or operation is not supported"),
            ("InvalidParameter", "a parameter is refused, for example a link or an MD5"),
        )
    ),
)
"""Codes that stand for themselves and for all that go on with a dot; the last two for any that begin so."""

_OPEN = ("Unsupported", "InvalidParameter")

UNKNOWN = Code("unknown", "failed", "service", "retry_later", "any other code; passed through as it came")


def code_row(code: str) -> Code:
    """The row of `code`: its own, else its family's, else that of its last part in the other engine family.

    Both families of engine codes repeat each other, and some answers leave the family out.
    """
    if code in CODES:
        return CODES[code]
    head = code.partition(".")[0]
    for name, row in FAMILIES:
        if head == name or (name in _OPEN and head.startswith(name)):
            return row
    family, _, last = code.rpartition(".")
    if family in ("", *_ENGINE):
        for other in _ENGINE:
            if f"{other}.{last}" in CODES:
                return CODES[f"{other}.{last}"]
    return UNKNOWN


_ENGINE = ("FailedOperation", "InternalError")
