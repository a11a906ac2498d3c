"""What the desk says, in Chinese: codes in, words out."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from feedback.decisions import NOTE_MAX_CHARS
from feedback.errors import (
    CaseAlreadyDecided,
    CaseChanged,
    CaseClaimed,
    CaseNotDecided,
    CaseNotFound,
    FeedbackError,
    InvalidDecision,
    SignInRefused,
)

BEIJING = timezone(timedelta(hours=8), "北京时间")

STATUS = {
    "open": "待复核",
    "confirmed": "已确认违规",
    "dismissed": "不违规",
    "relabelled": "已确认（标签更正）",
}
SEVERITY = {"low": "轻微", "medium": "一般", "high": "严重", "critical": "重大"}
SPEAKER = {"advisor": "理财顾问", "customer": "客户", "bot": "机器人", "other": "其他员工"}
OUTCOME = {"clean": "未发现", "flagged": "命中红线", "undecided": "待定，须人工判断"}
REASON = {
    "flagged": "命中红线",
    "undecided": "待定，须人工判断",
    "disagreement": "规则与模型不一致",
    "like_dismissed": "与判为不违规的案例相似",
    "degraded": "检测不完整",
    "sampled": "抽样复核",
}
SOURCE = {"rule": "规则", "model": "模型", "memory": "既往案例", "judge": "大模型"}
CHANNEL = {
    "wecom": "企业微信",
    "wechat": "微信",
    "phone_asr": "电话转写",
    "app": "App",
    "email": "邮件",
    "group": "群聊",
}
ACTION = {"confirm": "确认违规", "dismiss": "不违规", "relabel": "改标签"}
AUDIT = {
    "case_opened": "案件进入队列",
    "case_rejudged": "系统重新判定",
    "case_shown": "领取并查看",
    "case_read": "查看",
    "cases_read": "经接口读取",
    "case_released": "放回队列",
    "case_confirmed": "确认违规",
    "case_dismissed": "判定不违规",
    "case_relabelled": "改标签",
    "case_reopened": "撤回判定",
    "signed_in": "登录",
    "sign_in_failed": "登录失败",
    "signed_out": "退出",
    "user_added": "新增用户",
    "password_set": "重设密码",
}
VERSIONS = {"catalogue": "红线目录", "pack": "规则包", "model": "模型", "memory": "案例库", "code": "程序"}
AUDIT_PROBLEM = {
    "missing_entry": "缺少记录",
    "broken_link": "与上一条的指纹不衔接",
    "altered_entry": "内容被改动",
    "altered_head": "链尾不符，末尾记录可能被删",
    "altered_decision": "判定与记录不符",
    "altered_snapshot": "案件快照被改动",
    "altered_status": "案件状态与判定不符",
    "missing_decision": "判定被删除",
    "missing_case": "案件被删除",
    "unrecorded_decision": "判定没有对应的记录",
    "unrecorded_case": "案件没有对应的记录",
}

_INVALID = {
    "no_labels": "改标签时请至少选一个标签；如果不违规，请选「不违规」。",
    "unknown_label": "所选标签不在当前的红线目录里，请刷新页面后重选。",
    "nothing_to_confirm": "系统没有给出标签，无从确认。请选标签，或判为「不违规」。",
    "same_labels": "所选标签与系统给出的一致，请直接选「确认违规」。",
    "labels_not_expected": "所选标签与系统给出的不同，请选「改标签」。",
    "note_too_long": f"备注最多 {NOTE_MAX_CHARS} 字，请精简后再提交。",
    "unknown_action": "请选「确认违规」「不违规」或「改标签」。",
}


def explain(error: FeedbackError, names: Mapping[str, str], zone: timezone, me: str = "") -> str:
    """What happened and what to do now, for the reviewer `me`."""
    match error:
        case CaseAlreadyDecided() if error.decided_by == me:
            return "这条您已经处理过了，先前的判定有效。"
        case CaseAlreadyDecided():
            who, when = names.get(error.decided_by, error.decided_by), clock_time(error.decided_at, zone)
            return f"{who} 已在 {when} 处理了这条，以先提交的为准，您刚才的选择没有保存。"
        case CaseClaimed():
            who, until = names.get(error.claimed_by, error.claimed_by), clock_time(error.until, zone)
            return f"{who} 正在处理这条（保留至 {until}）。您可以查看，但暂不能判定。"
        case CaseChanged():
            return "您查看期间系统重新判定了这条，页面已更新。请看过新的结果后再判定，刚才的选择没有保存。"
        case CaseNotDecided():
            return "这条还没有判定，无需撤回。"
        case CaseNotFound():
            return "没有这个案件。它可能属于另一个环境，或链接不完整。"
        case InvalidDecision():
            return _INVALID[error.reason]
        case SignInRefused() if error.wait_s:
            return f"密码错误次数过多，请 {error.wait_s} 秒后再试。"
        case SignInRefused():
            return "用户名或密码不对。"
        case _:
            return "操作没有成功，请刷新页面后重试。"


def clock_time(moment: datetime, zone: timezone) -> str:
    """Hour and minute."""
    return moment.astimezone(zone).strftime("%H:%M")


def short_time(moment: datetime, now: datetime, zone: timezone) -> str:
    """As short as it stays clear: today only the hour, this year without the year."""
    local, today = moment.astimezone(zone), now.astimezone(zone)
    if local.date() == today.date():
        return local.strftime("%H:%M")
    if local.year == today.year:
        return local.strftime("%m-%d %H:%M")
    return f"{local.year:04d}-{local.strftime('%m-%d %H:%M')}"
