// Who may ask, and how much: the secrets of keys, the table in which one is found, and what each has left of its
// limits.
//
// For: telling at once, without a lock that others hold and without a database, whether a request may go on. Not for:
// keeping keys (storage/keys.h), making and revoking them (services/keys.h), or saying no in anybody's dialect (http/).
//
// Pure: no I/O, and time comes in with each call. Threads: a Table never changes, and an Account has a lock of its own
// that is held for a few additions.
//
// Limits (docs/decisions/0023-keys.md): requests and tokens a minute are token buckets, so after a pause a minute's
// worth may come at once; tokens a day are counted from one midnight UTC to the next.
#pragma once

#include "keys/account.h"
#include "keys/grant.h"
#include "keys/key.h"
#include "keys/secret.h"
#include "keys/table.h"
