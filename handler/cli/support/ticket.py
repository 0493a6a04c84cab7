"""The words for a ticket at Tencent's support, in English and in Chinese. Pure."""

from __future__ import annotations

from handler.cli.output import when
from handler.cli.support.case import Case
from handler.edges.faceid import ACTION, VERSION
from handler.rules.pairing import Role

_ENGLISH: dict[str, str] = {
    "title": "Subject: {action}: {code}, RequestId {request_id}",
    "intro": "We call {action} (eKYC, version {version}) and ask you to look into this call:",
    "request_id": "RequestId of the call that decided",
    "code": "Answer",
    "said": "Description",
    "similarity": "Sim",
    "calls": "Calls that may have been executed in all",
    "more": "The RequestIds of the other calls stand in our function's log",
    "region": "Region",
    "endpoint": "Endpoint",
    "appid": "APPID",
    "uploaded": "Newest upload (UTC)",
    "decided": "Decided (UTC)",
    "first": "First try (UTC)",
    "asked": "Tries, each by one invocation of our function (UTC)",
    "try": "try {n}: over by {end}, RequestId of the function {id}{answer}",
    "answered": ", answered {code}",
    "live": "LiveData",
    "image": "Image",
    "is_there": "attached as {file}, MD5 {md5}, {size} bytes",
    "missing": "not attached: {why}",
    "device": "DeviceData: not known here; it comes from the liveness SDK (ask the app's backend)",
    "versions": "Versions",
    "question": "What we expected, and what happened instead: (please fill in)",
    "none": "none",
}

_CHINESE: dict[str, str] = {
    "title": "标题：{action}：{code}，RequestId {request_id}",
    "intro": "您好，我们在调用 eKYC 接口 {action}（版本 {version}）时遇到问题，请协助排查以下调用：",
    "request_id": "最终一次调用的 RequestId",
    "code": "返回码",
    "said": "返回描述",
    "similarity": "相似度 Sim",
    "calls": "可能已执行的调用总次数",
    "more": "其余调用的 RequestId 记录在我们的函数日志中",
    "region": "地域",
    "endpoint": "接口域名",
    "appid": "APPID",
    "uploaded": "最后一次上传时间（UTC）",
    "decided": "得出结果的时间（UTC）",
    "first": "第一次尝试的时间（UTC）",
    "asked": "各次尝试，每次对应一次函数执行（UTC）",
    "try": "第 {n} 次：最迟于 {end} 结束，函数 RequestId {id}{answer}",
    "answered": "，返回 {code}",
    "live": "LiveData",
    "image": "Image",
    "is_there": "见附件 {file}，MD5 {md5}，{size} 字节",
    "missing": "未附上，原因：{why}",
    "device": "DeviceData：我们没有保存，该数据来自 App 内的活体检测 SDK（请向 App 后台索取）",
    "versions": "版本",
    "question": "期望的结果与实际的结果：（请填写）",
    "none": "无",
}


def ticket(case: Case, names: dict[Role, str]) -> str:
    """Both texts, one after the other. `names` are the files of the uploads that are given."""
    return "\n".join((*_told(case, names, _ENGLISH), "", "-" * 60, "", *_told(case, names, _CHINESE), ""))


def _told(case: Case, names: dict[Role, str], words: dict[str, str]) -> list[str]:
    code = case.api_code or case.code or words["none"]
    request_id = case.api_request_id or words["none"]
    return [
        words["title"].format(action=ACTION, code=code, request_id=request_id),
        "",
        words["intro"].format(action=ACTION, version=VERSION),
        "",
        f"- {words['request_id']}: {request_id}",
        f"- {words['code']}: {code}",
        f"- {words['said']}: {case.said or words['none']}",
        f"- {words['similarity']}: {words['none'] if case.similarity is None else case.similarity}",
        f"- {words['calls']}: {case.calls}" + (f" ({words['more']})" if case.calls > 1 else ""),
        f"- {words['region']}: {case.region}",
        f"- {words['endpoint']}: {case.endpoint}",
        f"- {words['appid']}: {case.appid}",
        f"- {words['uploaded']}: {when(case.uploaded_at)}",
        f"- {words['decided']}: {when(case.decided_at)}",
        *_tries(case, words),
        *(f"- {each}" for each in _uploads(case, names, words)),
        f"- {words['device']}",
        f"- {words['versions']}: {', '.join(f'{name} {each}' for name, each in case.versions.items())}",
        "",
        words["question"],
    ]


def _tries(case: Case, words: dict[str, str]) -> list[str]:
    if not case.asked:
        return [f"- {words['asked']}: {words['none']}"]
    told = [f"- {words['first']}: {when(case.asked[0].first_try_at)}", f"- {words['asked']}:"]
    for each in case.asked:
        answer = words["answered"].format(code=each.answered) if each.answered else ""
        said = words["try"].format(
            n=each.claim, end=when(each.over_by), id=each.function_request_id, answer=answer
        )
        told.append(f"  - {said}")
    return told


def _uploads(case: Case, names: dict[Role, str], words: dict[str, str]) -> list[str]:
    told = []
    for each in case.uploads:
        judged = each.judged or {}
        if each.role in names:
            md5 = judged.get("md5") or words["none"]
            says = words["is_there"].format(file=names[each.role], md5=md5, size=judged.get("size"))
        else:
            says = words["missing"].format(why=each.missing)
        told.append(f"{words[each.role]}: {says}")
    return told
