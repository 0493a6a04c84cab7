"""`support`: a zip with what Tencent's support asks for about one verification.

case      what is known of it: request ids, times, both uploads, versions, searches of the log
ticket    the words for a ticket, in English and in Chinese
archive   the zip
command   the command, which asks first: the zip holds faces
"""
