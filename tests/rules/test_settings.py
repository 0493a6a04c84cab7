"""The settings: what is taken, what is refused, and that one error tells all of it and no secret."""

import base64
import re
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.rules.settings import SETTINGS, SHOWN, Secret, Settings, SettingsError, load_settings
from tests.cloud.consumer import SECRET as PUBLISHED

SECRET = "whsec_" + base64.b64encode(b"thirty-two bytes, made up for us").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"another one, for while we rotate").decode()

REQUIRED = {
    "BUCKET": "faces-1250000000",
    "WEBHOOK_URL": "https://example.com/hooks/path-that-is-secret?token=query-that-is-secret",
    "WEBHOOK_SECRET": SECRET,
}


def load(**changes: str) -> Settings:
    return load_settings({**REQUIRED, **changes})


def faults(**changes: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**changes)
    return caught.value.faults


def revealed(value: object) -> object:
    """A field's value, a secret one too."""
    return value.reveal() if isinstance(value, Secret) else value


# --- what is taken --------------------------------------------------------------------------------


def test_three_settings_are_enough() -> None:
    """Everything else has the documented default."""
    settings = load()
    assert settings.bucket == "faces-1250000000"
    assert settings.webhook_url.reveal() == REQUIRED["WEBHOOK_URL"]
    assert settings.webhook_secrets.reveal() == (SECRET,)
    assert [template.text for template in settings.templates.live] == ["uploads/{id}/live.gz"]
    assert [template.text for template in settings.templates.image] == ["uploads/{id}/image.jpg"]
    assert settings.min_similarity == 70.0
    assert settings.pair_timeout == 3600
    assert settings.pass_resources == "presigned"
    assert settings.state_prefix == "livepair/"
    assert settings.state_bucket == "faces-1250000000"
    assert settings.keep_best_frame is True
    assert settings.delete_uploads == "none"
    assert settings.max_live_bytes == 50_000_000
    assert settings.max_image_bytes == 10_000_000
    assert settings.api_rate == 5.0
    assert settings.faceid_endpoint == "faceid.tencentcloudapi.com"
    assert settings.log_level == "INFO"
    assert settings.local_cloud is None
    assert settings.pass_metadata == ()


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("BUCKET", "a-1", "bucket", "a-1"),
        ("BUCKET", "my-own-faces-2-1250000000", "bucket", "my-own-faces-2-1250000000"),
        ("BUCKET", "a" * 50 + "-" + "1" * 20, "bucket", None),
        ("STATE_BUCKET", "a" * 50 + "-" + "1" * 20, "state_bucket", None),
        ("WEBHOOK_URL", "https://example.com", "webhook_url", "https://example.com"),
        ("WEBHOOK_URL", "HTTPS://example.com:8443/x", "webhook_url", "HTTPS://example.com:8443/x"),
        ("WEBHOOK_SECRET", f"{SECRET} {OTHER_SECRET}", "webhook_secrets", (SECRET, OTHER_SECRET)),
        ("WEBHOOK_SECRET", f"\n{SECRET}\n\t{OTHER_SECRET}\n", "webhook_secrets", (SECRET, OTHER_SECRET)),
        ("WEBHOOK_SECRET", f"{SECRET} {OTHER_SECRET}", "state_secrets", (SECRET, OTHER_SECRET)),
        ("STATE_SECRET", OTHER_SECRET, "state_secrets", (OTHER_SECRET,)),
        ("STATE_SECRET", f"{OTHER_SECRET} {SECRET}", "state_secrets", (OTHER_SECRET, SECRET)),
        ("MIN_SIMILARITY", "0", "min_similarity", 0.0),
        ("MIN_SIMILARITY", "100", "min_similarity", 100.0),
        ("MIN_SIMILARITY", "82.5", "min_similarity", 82.5),
        ("PAIR_TIMEOUT", "1", "pair_timeout", 1),
        ("PAIR_TIMEOUT", "604800", "pair_timeout", 604_800),
        ("STATE_PREFIX", "X/", "state_prefix", "X/"),
        ("PASS_RESOURCES", "presigned", "pass_resources", "presigned"),
        ("PASS_RESOURCES", "upload_url", "pass_resources", "upload_url"),
        ("STATE_PREFIX", "state/v1.x_y-z/", "state_prefix", "state/v1.x_y-z/"),
        ("STATE_PREFIX", "..a/", "state_prefix", "..a/"),
        ("STATE_PREFIX", "s" * 99 + "/", "state_prefix", "s" * 99 + "/"),
        ("KEEP_BEST_FRAME", "true", "keep_best_frame", True),
        ("KEEP_BEST_FRAME", "false", "keep_best_frame", False),
        ("DELETE_UPLOADS", "live", "delete_uploads", "live"),
        ("DELETE_UPLOADS", "both", "delete_uploads", "both"),
        ("MAX_LIVE_BYTES", "1", "max_live_bytes", 1),
        ("MAX_IMAGE_BYTES", "5000000000", "max_image_bytes", 5_000_000_000),
        ("MAX_VERDICTS", "0", "max_verdicts", 0),
        ("MAX_VERDICTS", "1000", "max_verdicts", 1000),
        ("PASS_METADATA", "attempt", "pass_metadata", ("attempt",)),
        ("PASS_METADATA", "Attempt , device-2,0", "pass_metadata", ("Attempt", "device-2", "0")),
        ("PASS_METADATA", ",".join("abcdefghij"), "pass_metadata", tuple("abcdefghij")),
        ("PASS_METADATA", "n" * 64, "pass_metadata", ("n" * 64,)),
        ("API_RATE", "0.5", "api_rate", 0.5),
        ("API_RATE", "1000", "api_rate", 1000.0),
        ("FACEID_ENDPOINT", "faceid.intl.tencentcloudapi.com", "faceid_endpoint", None),
        ("FACEID_ENDPOINT", "faceid.ap-singapore.tencentcloudapi.com", "faceid_endpoint", None),
        ("FACEID_ENDPOINT", "faceid.intl.ap-bangkok.tencentcloudapi.com", "faceid_endpoint", None),
        ("FACEID_ENDPOINT", "faceid.ap-hongkong.intl.tencentcloudapi.com", "faceid_endpoint", None),
        ("LOG_LEVEL", "DEBUG", "log_level", "DEBUG"),
        ("LOG_LEVEL", "ERROR", "log_level", "ERROR"),
        ("LOCAL_CLOUD", "http://127.0.0.1:8080", "local_cloud", "http://127.0.0.1:8080"),
        ("LOCAL_CLOUD", "http://localhost:8080/", "local_cloud", "http://localhost:8080"),
        ("LOCAL_CLOUD", "http://[::1]:65535", "local_cloud", "http://[::1]:65535"),
    ],
)
def test_a_setting_takes_what_is_documented(name: str, text: str, field: str, value: object) -> None:
    """The value as it is used; white space around it does not matter."""
    expected = text if value is None else value
    assert revealed(getattr(load(**{name: text}), field)) == expected
    assert revealed(getattr(load(**{name: f" {text}\n"}), field)) == expected


@pytest.mark.parametrize("blank", ["", " ", "\n\t "])
def test_an_empty_setting_is_one_that_is_not_set(blank: str) -> None:
    """Consoles keep empty variables: an optional one has its default then, a required one is missing."""
    optional = [name for name in REFUSED if name not in REQUIRED]
    assert load(**dict.fromkeys(optional, blank)) == load()
    assert faults(**dict.fromkeys(REQUIRED, blank)) == [f"{name} is not set" for name in REQUIRED]


def test_settings_of_others_are_left_alone() -> None:
    """The environment holds the platform's own variables too."""
    assert load(TENCENTCLOUD_REGION="nowhere", PATH="/bin", bucket="x") == load()


def test_functions_that_share_a_state_bucket_never_meet() -> None:
    """With a state bucket of its own, the upload bucket's name stands behind the prefix."""
    settings = load(STATE_BUCKET="state-1250000000", STATE_PREFIX="s/")
    assert settings.state_bucket == "state-1250000000"
    assert settings.state_prefix == "s/faces-1250000000/"
    assert load(STATE_BUCKET="faces-1250000000").state_prefix == "livepair/"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:9/x",
        "http://127.0.0.1:9/x",
        "http://127.8.8.8/x",
        "http://127.255.255.255/x",
        "http://[::1]:9/x",
    ],
)
def test_a_webhook_on_this_machine_may_be_http_beside_a_local_cloud(url: str) -> None:
    """And never without one: nothing of a real function listens there."""
    assert load(WEBHOOK_URL=url, LOCAL_CLOUD="http://127.0.0.1:8080").webhook_url.reveal() == url
    assert faults(WEBHOOK_URL=url) == [
        "WEBHOOK_URL: must be https (http is for a local cloud, and LOCAL_CLOUD is not set)"
    ]


def test_a_local_cloud_that_is_refused_is_the_only_fault() -> None:
    """What would be taken beside it is not told of as well."""
    (fault,) = faults(WEBHOOK_URL="HTTP://localhost/", WEBHOOK_SECRET=PUBLISHED, LOCAL_CLOUD="http://a:1")
    assert fault.startswith("LOCAL_CLOUD")
    assert len(faults(WEBHOOK_URL="HTTP://localhost/", WEBHOOK_SECRET=PUBLISHED)) == 2


@pytest.mark.parametrize("secrets", [PUBLISHED, f"{SECRET} {PUBLISHED}"])
def test_the_secret_that_everybody_can_read_is_for_a_local_cloud_only(secrets: str) -> None:
    """With it anybody could sign outcomes; nor is it taken beside another."""
    assert load(WEBHOOK_SECRET=secrets, LOCAL_CLOUD="http://127.0.0.1:8080").webhook_secrets.reveal()
    assert faults(WEBHOOK_SECRET=secrets) == [
        "WEBHOOK_SECRET: holds the local cloud's published secret; make your own"
    ]


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_has_24_to_64_bytes(size: int) -> None:
    """As Standard Webhooks asks for; a shorter one can be guessed."""
    fine = "whsec_" + base64.b64encode(bytes(size)).decode()
    assert load(WEBHOOK_SECRET=fine).webhook_secrets.reveal() == (fine,)


# --- what is refused ------------------------------------------------------------------------------

REFUSED: dict[str, list[tuple[str, str]]] = {
    "BUCKET": [
        ("faces", "no bucket name with its appid"),
        ("Faces-1250000000", "no bucket name"),
        ("faces-125x", "no bucket name"),
        ("-faces-1250000000", "no bucket name"),
        ("faces_a-1250000000", "no bucket name"),
        ("1250000000", "no bucket name"),
        ("faces-1250000000.cos.ap-singapore.myqcloud.com", "no bucket name"),
        ("faces-1250000000\nx-1", "no bucket name"),
        ("faces-", "no bucket name"),
        ("faces--1250000000", "no bucket name"),
        ("a" * 51 + "-1250000000", "no bucket name"),
        ("faces-" + "1" * 21, "no bucket name"),
        ("faces-١٢٥", "no bucket name"),
    ],
    "WEBHOOK_URL": [
        ("example.com/hook", "is no URL"),
        ("ftp://example.com", "is no URL"),
        ("https://", "is no URL"),
        ("https:///hook", "is no URL"),
        ("https://[::1/hook", "is no URL"),
        ("https://example.com:port/", "is no URL"),
        ("https://example.com:99999/", "is no URL"),
        (
            "http://example.com/hook",
            "must be https (http is for loopback addresses only, example.com is none)",
        ),
        ("http://10.0.0.1/hook", "must be https"),
        ("http://127.0.0.1.example.com/", "must be https"),
        ("http://localhost.example.com/", "must be https"),
        ("http://0.0.0.0/", "must be https"),
        ("http://127.999.0.1/hook", "must be https"),
        ("http://127.0.0.256/hook", "must be https"),
        ("http://127.1/hook", "must be https"),
        ("http://127.0.0.1.1/hook", "must be https"),
        ("http://127.0.0.0001/hook", "must be https"),
        ("http://127.0.0.١/hook", "must be https"),
        ("http://[::2]/hook", "must be https"),
        ("https://user:pass@example.com/", "no user or password"),
        ("https://user@example.com/", "no user or password"),
        ("https://@example.com/", "no user or password"),
        ("https://example.com/#top", "no fragment"),
        ("https://example.com/a b", "no white space"),
        ("https://example.com/a\nb", "no white space"),
        ("https://example.com/a\x00b", "no white space"),
    ],
    "WEBHOOK_SECRET": [
        ("plain-text", "secret 1 of 1 must begin with whsec_"),
        (f"{SECRET} plain-text", "secret 2 of 2 must begin with whsec_"),
        (f"{SECRET},{OTHER_SECRET}", "secret 1 of 1 is not base64"),
        ("whsec_!!!!", "secret 1 of 1 is not base64"),
        ("whsec_abc", "secret 1 of 1 is not base64"),
        ("whsec_ab-_", "secret 1 of 1 is not base64"),
        (f"{SECRET} whsec_“quoted”", "secret 2 of 2 is not base64 after whsec_; make one with"),
        ("whsec_é", "secret 1 of 1 is not base64"),
        ("“whsec_abcd”", "secret 1 of 1 must begin with whsec_"),
        ("whsec_", "secret 1 of 1 holds 0 bytes, but 24 to 64 are wanted; make one with"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "secret 1 of 1 holds 23 bytes"),
        (f"{SECRET} whsec_" + base64.b64encode(bytes(65)).decode(), "secret 2 of 2 holds 65 bytes"),
    ],
    "STATE_SECRET": [
        ("plain-text", "secret 1 of 1 must begin with whsec_"),
        (f"{SECRET} whsec_", "secret 2 of 2 holds 0 bytes"),
    ],
    "LIVE_KEY": [
        ("uploads/live.gz", "holds no placeholder"),
        ("livepair/{id}.gz", "reaches into STATE_PREFIX 'livepair/'"),
        ("uploads/{id}/image.jpg", "can yield the same key"),
    ],
    "IMAGE_KEY": [
        ("{id}.jpg", "fixed prefix"),
        ("uploads/{id}/{x}.jpg", "placeholder {x} is not in LIVE_KEY"),
        ("uploads/{id}/live.gz", "can yield the same key"),
    ],
    "MIN_SIMILARITY": [
        (text, "is no number from 0 to 100")
        for text in ("-1", "100.1", "seventy", "7e1", "70%", "nan", "inf", "1" * 400, "70.", "70,5", "0x46")
    ],
    "PAIR_TIMEOUT": [
        (text, "is no whole number from 1 to 604800")
        for text in ("0", "604801", "1h", "60.0", "-60", "9" * 5000)
    ],
    "PASS_RESOURCES": [
        (text, "is not one of presigned, upload_url") for text in ("Presigned", "url", "none")
    ],
    "STATE_PREFIX": [
        (text, "must end with /")
        for text in (
            "livepair",
            "/livepair/",
            "a//b/",
            "/",
            "../",
            "a/./b/",
            "a b/",
            "张/",
            "a%/",
            "s" * 100 + "/",
        )
    ],
    "STATE_BUCKET": [
        ("state", "no bucket name with its appid"),
        ("a" * 51 + "-1250000000", "no bucket name with its appid"),
    ],
    "KEEP_BEST_FRAME": [(text, "is not one of true, false") for text in ("yes", "True", "0", "1")],
    "DELETE_UPLOADS": [(text, "is not one of none, live, both") for text in ("image", "all", "true")],
    "MAX_LIVE_BYTES": [(text, "is no whole number from 1 to") for text in ("0", "50MB", "5000000001", "1e6")],
    "MAX_IMAGE_BYTES": [
        (text, "is no whole number from 1 to") for text in ("0", "-1", "5000000001", "1_000")
    ],
    "MAX_VERDICTS": [(text, "is no whole number from 0 to 1000") for text in ("-1", "1001", "1.5", "none")],
    "PASS_METADATA": [
        *(
            (text, "is no name of metadata: letters, digits and hyphens")
            for text in (
                "a,",
                ",",
                "a b",
                "my_name",
                "n" * 65,
                "é",
                "x-cos-meta-attempt",
                "X-COS-Meta-A",
                "a:b",
                "--",
                "٣",
            )
        ),
        ("attempt,Attempt", "names one twice"),
        (",".join("abcdefghijk"), "names 11, but 10 at most"),
    ],
    "API_RATE": [(text, "is no number from 0.01 to 1000") for text in ("0", "0.001", "1001", "five")],
    "FACEID_ENDPOINT": [
        (text, "is refused, since signed links to faces go there")
        for text in (
            "example.com",
            "https://faceid.tencentcloudapi.com",
            "faceid.tencentcloudapi.com.example.com",
            "xfaceid.tencentcloudapi.com",
            "faceidxtencentcloudapi.com",
            "faceid.ap-guangzhou.tencentcloudapi.com",
            "faceid.ap-bangkok.intl.ap-bangkok.tencentcloudapi.com",
            "FACEID.tencentcloudapi.com",
            "faceid.tencentcloudapi.com:443",
            "faceid.tencentcloudapi.com/",
            "evil@faceid.tencentcloudapi.com",
        )
    ],
    "LOG_LEVEL": [
        (text, "is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL") for text in ("info", "TRACE")
    ],
    "LOCAL_CLOUD": [
        (text, "is refused: it must be a loopback http address with a port: http://127.0.0.1:8080")
        for text in (
            "http://10.0.0.1:8080",
            "http://example.com:8080",
            "https://127.0.0.1:8080",
            "127.0.0.1:8080",
            "http://127.0.0.1",
            "http://127.0.0.1:8080/path",
            "http://127.0.0.1:65536",
            "http://Xlocalhost:8080",
            "http://0.0.0.0:8080",
            "http://localhost.example.com:8080",
            "http://127.0.0.1@example.com:8080",
            "http://127.0.0.999:8080",
            "http://127.1:8080",
            "http://user@127.0.0.1:8080",
            "http://user:pass@127.0.0.1:8080",
            "http://@127.0.0.1:8080",
            "http://127.0.0.1:8080?x=1",
            "http://127.0.0.1:8080/?x",
            "http://127.0.0.1:8080/#top",
            "http://127.0.0.1:port",
        )
    ],
}
"""For every setting what it refuses, and what the fault says."""


@pytest.mark.parametrize(
    ("name", "text", "says"), [(name, *case) for name, cases in REFUSED.items() for case in cases]
)
def test_a_setting_that_cannot_be_used_is_named_with_its_fault(name: str, text: str, says: str) -> None:
    """The fault says which setting it is and what would do instead; nothing else is blamed."""
    found = faults(**{name: text})
    assert len(found) == 1
    assert name in found[0].split(": ")[0]
    assert says in found[0]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("BUCKET", "faces", "'faces' is no bucket name with its appid, like faces-1250000000"),
        ("WEBHOOK_URL", "https://[", "is no URL; give one like https://example.com/webhook"),
        ("WEBHOOK_URL", "ftp://a", "is no URL; give one like https://example.com/webhook"),
        ("WEBHOOK_URL", "http://a", "must be https (http is for loopback addresses only, a is none)"),
        ("WEBHOOK_URL", "https://@a", "must hold no user or password; the signature proves who is calling"),
        ("WEBHOOK_URL", "https://a#b", "must hold no fragment (#…) and no white space"),
        ("WEBHOOK_SECRET", "x", "secret 1 of 1 must begin with whsec_, followed by base64"),
        (
            "WEBHOOK_SECRET",
            "whsec_!",
            "secret 1 of 1 is not base64 after whsec_; make one with: "
            "echo whsec_$(head -c 32 /dev/urandom | base64)",
        ),
        (
            "WEBHOOK_SECRET",
            "whsec_",
            "secret 1 of 1 holds 0 bytes, but 24 to 64 are wanted; make one with: "
            "echo whsec_$(head -c 32 /dev/urandom | base64)",
        ),
        ("MIN_SIMILARITY", "101", "'101' is no number from 0 to 100"),
        ("PAIR_TIMEOUT", "0", "'0' is no whole number from 1 to 604800"),
        ("DELETE_UPLOADS", "all", "'all' is not one of none, live, both"),
        (
            "STATE_PREFIX",
            "a",
            "'a' must end with / and hold only letters, digits, _, . and - between slashes "
            "(100 characters at most), like livepair/",
        ),
        (
            "FACEID_ENDPOINT",
            "a",
            "'a' is refused, since signed links to faces go there; use faceid.tencentcloudapi.com, "
            "faceid.intl.tencentcloudapi.com, or the regional form of either",
        ),
    ],
)
def test_a_fault_says_what_to_do(name: str, text: str, fault: str) -> None:
    """Word for word: whoever deploys reads it."""
    assert faults(**{name: text}) == [f"{name}: {fault}"]


@pytest.mark.parametrize("name", list(REQUIRED))
def test_a_required_setting_has_no_default(name: str) -> None:
    """It is missed by name."""
    with pytest.raises(SettingsError) as caught:
        load_settings({other: text for other, text in REQUIRED.items() if other != name})
    assert caught.value.faults == [f"{name} is not set"]


def test_all_faults_are_named_at_once() -> None:
    """Whoever deploys mends everything in one go, and sees it in the error's text, a line each."""
    wrong = {name: cases[0][0] for name, cases in REFUSED.items()}
    with pytest.raises(SettingsError) as caught:
        load(**wrong)
    assert sorted(fault.split(":")[0] for fault in caught.value.faults) == sorted(wrong)
    lines = str(caught.value).splitlines()
    assert lines[0] == "the function's settings are wrong:"
    assert lines[1:] == [f"- {fault}" for fault in caught.value.faults]


def test_no_setting_is_forgotten_here() -> None:
    """Every setting has its refusals above, so that the test of all faults is of all settings."""
    forgotten, unknown = SETTINGS.keys() - REFUSED.keys(), REFUSED.keys() - SETTINGS.keys()
    assert not forgotten, f"say in REFUSED what is refused of {', '.join(sorted(forgotten))}"
    assert not unknown, f"REFUSED speaks of what is no setting: {', '.join(sorted(unknown))}"


def test_an_empty_environment_names_what_is_required() -> None:
    """And nothing that has a default."""
    with pytest.raises(SettingsError) as caught:
        load_settings({})
    assert caught.value.faults == [f"{name} is not set" for name in REQUIRED]


def test_a_state_prefix_that_cannot_be_used_blames_no_template() -> None:
    """Nobody knows what it is to be, so nothing is said to reach into it; other faults are told."""
    assert len(faults(STATE_PREFIX="livepair", LIVE_KEY="livepair/{id}.gz")) == 1
    found = faults(STATE_PREFIX="livepair", LIVE_KEY="livepair/{id}.gz", IMAGE_KEY="i/{x}.jpg")
    assert [fault.split(":")[0] for fault in found] == ["STATE_PREFIX", "IMAGE_KEY"]


@pytest.mark.parametrize("text", ["http://[::1:8080", "//]"])
def test_a_local_cloud_that_is_no_url_is_refused_like_any_other(text: str) -> None:
    """Brackets that hold no address are a fault of the setting and not of the program."""
    assert faults(LOCAL_CLOUD=text) == [f"LOCAL_CLOUD: {REFUSED['LOCAL_CLOUD'][0][1]}"]


# --- secrets --------------------------------------------------------------------------------------

token = st.from_regex(r"[A-Z2-7]{12}", fullmatch=True)
"""A secret that appears by chance in no message."""

URLS = [
    "https://example.com/{}",
    "https://example.com/x?key={}",
    "https://example.com/#{}",
    "https://example.com/{} x",
    "https://{}:pass@example.com/",
    "https://user:{}@example.com/",
    "http://example.com/{}",
    "http://user:{}@example.com/",
    "https://example.com:{}/",
    "https://[{}/",
    "https:///{}",
    "ftp://example.com/{}",
    "{}",
]
SECRETS = [
    "{}",
    "whsec_{}",
    "whsec_{}!",
    "whsec_{}=",
    "xwhsec_{}",
    f"{SECRET} {{}}",
    "whsec_{}AAAA whsec_",
    "whsec_é{}",
]
LOCAL_CLOUDS = [
    "",
    "http://user:{}@127.0.0.1:8080",
    "http://{}@127.0.0.1:8080",
    "http://127.0.0.1:8080?key={}",
    "http://127.0.0.1:8080/{}",
    "http://127.0.0.1:8080/#{}",
    "http://127.0.0.1:{}",
    "http://{}:8080",
    "{}",
]


def kind_of(name: str) -> Any:
    """The type of the field that a setting is read into."""
    known = Settings.__annotations__
    if name in ("LIVE_KEY", "IMAGE_KEY"):
        return known["templates"]
    return known.get(name.lower()) or known[f"{name.lower()}s"]


def is_secret(kind: Any) -> bool:
    """Whether it is a Secret, or one where it is set."""
    return any(get_origin(each) is Secret for each in (kind, *get_args(kind)))


ALL_SECRET = [name for name in SETTINGS if is_secret(kind_of(name))]
"""The settings whose values are secret, by their type."""


def test_every_setting_says_whether_it_may_be_shown() -> None:
    """By its type: what is neither `Shown` nor `Secret` was not thought about, and no repr shows."""
    kinds = Settings.__annotations__.items()
    silent = [
        name for name, kind in kinds if SHOWN not in getattr(kind, "__metadata__", ()) and not is_secret(kind)
    ]
    assert not silent, f"make it Shown[…] or Secret[…] in Settings: {', '.join(silent)}"
    assert {"WEBHOOK_URL", "WEBHOOK_SECRET", "STATE_SECRET"} <= set(ALL_SECRET)


@given(
    token,
    st.fixed_dictionaries({name: st.sampled_from(URLS if "URL" in name else SECRETS) for name in ALL_SECRET}),
    st.sampled_from(LOCAL_CLOUDS),
    st.booleans(),
)
def test_no_message_repeats_a_secret(secret: str, texts: dict[str, str], local: str, more: bool) -> None:
    """What is secret by its type, and LOCAL_CLOUD, whose URL may hold one, no error and no repr tells."""
    changes = {name: text.format(secret) for name, text in {**texts, "LOCAL_CLOUD": local}.items()}
    if more:
        changes["API_RATE"] = "none"
    try:
        told = repr(load(**changes))
    except SettingsError as error:
        told = f"{error} {error!r} {error.faults} {error.__cause__!r}"
    assert secret.lower() not in told.lower()
    assert SECRET not in told


def test_a_secret_shows_itself_nowhere() -> None:
    """However it is printed, alone or in what holds it; equal ones are equal."""
    secret = Secret("hush")
    shown = (repr(secret), str(secret), f"{secret}", str([secret]))
    assert all("hush" not in each for each in shown)
    assert secret.reveal() == "hush"
    assert secret == Secret("hush") != Secret("loud")
    assert len({secret, Secret("hush"), Secret("loud")}) == 2
    assert secret != "hush"


def test_settings_can_be_printed() -> None:
    """Whoever logs them by mistake logs no secret."""
    told = repr(load(WEBHOOK_SECRET=SECRET, STATE_SECRET=OTHER_SECRET))
    assert "(bucket='faces-1250000000', templates=" in told
    assert told.endswith(", local_cloud=None, …)")
    for secret in ("whsec_", "path-that-is-secret", "query-that-is-secret", "example.com"):
        assert secret not in told


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://example.com/secret?secret#", "https://example.com"),
        ("https://Example.com:8443/secret", "https://example.com"),
        ("http://127.0.0.1:9/secret", "http://127.0.0.1"),
    ],
)
def test_the_origin_is_all_of_the_url_that_may_be_logged(url: str, origin: str) -> None:
    """Scheme and host, without path and query."""
    assert load(WEBHOOK_URL=url, LOCAL_CLOUD="http://127.0.0.1:1").webhook_origin == origin


# --- anything at all ------------------------------------------------------------------------------

ALL = [*REQUIRED, *(name for name in REFUSED if name not in REQUIRED)]
SEEDS = [text for cases in REFUSED.values() for text, _ in cases] + list(REQUIRED.values())
awkward = st.text(st.sampled_from("0123456789.-/:@[]{}%#?, _٣７é\x00\x7fa"), max_size=15)
anything = (
    st.text(max_size=15)
    | awkward
    | st.sampled_from(SEEDS)
    | st.builds(str.__add__, st.sampled_from(SEEDS), awkward)
)


@given(st.dictionaries(st.sampled_from(ALL), anything))
def test_any_environment_gives_settings_or_a_settings_error(changes: dict[str, str]) -> None:
    """No text in any variable raises anything else."""
    try:
        settings = load(**changes)
    except SettingsError:
        return
    assert 0 <= settings.min_similarity <= 100
    assert settings.api_rate > 0
    assert settings.webhook_secrets.reveal()
    assert settings.state_prefix.endswith("/")


# --- region ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("region", ["ap-bangkok", "ap-hongkong", "ap-singapore"])
def test_the_api_is_called_in_its_three_regions(region: str) -> None:
    """Bangkok, Hong Kong and Singapore, over either global host and the region's own."""
    load().check_region(region)
    load(FACEID_ENDPOINT="faceid.intl.tencentcloudapi.com").check_region(region)
    for host in (f"faceid.{region}", f"faceid.intl.{region}", f"faceid.{region}.intl"):
        load(FACEID_ENDPOINT=f"{host}.tencentcloudapi.com").check_region(region)


@pytest.mark.parametrize("region", ["ap-guangzhou", "ap-jakarta", "sg", "", "AP-SINGAPORE"])
def test_a_bucket_elsewhere_cannot_be_served(region: str) -> None:
    """The error names bucket and region and where it would work."""
    with pytest.raises(SettingsError) as caught:
        load().check_region(region)
    assert caught.value.faults == [
        f"the bucket faces-1250000000 lies in {region}, where DetectReflectLivenessAndCompare is not "
        "offered; use a bucket and a function in one of ap-bangkok, ap-hongkong, ap-singapore"
    ]


@pytest.mark.parametrize(
    ("endpoint", "instead"),
    [
        ("faceid.ap-bangkok.tencentcloudapi.com", "faceid.tencentcloudapi.com"),
        ("faceid.intl.ap-bangkok.tencentcloudapi.com", "faceid.intl.tencentcloudapi.com"),
        ("faceid.ap-bangkok.intl.tencentcloudapi.com", "faceid.intl.tencentcloudapi.com"),
    ],
)
def test_an_endpoint_of_another_region_is_refused(endpoint: str, instead: str) -> None:
    """Both URLs of a call are of the region it is made in; the error gives the host that always fits."""
    with pytest.raises(SettingsError, match=re.escape(f"use {instead}") + r"\Z"):
        load(FACEID_ENDPOINT=endpoint).check_region("ap-singapore")
