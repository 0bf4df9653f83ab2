// Understanding what a client sent, before anybody trusts it: what a file is (file_kind.h), what it may be called
// (sanitise.h), what of it is text and in which encoding (encoding.h, core/utf8.h).
//
// Pure functions over bytes: no files are opened here but the magic database, and nothing is stored. Any thread may
// call them. What they are given is bounded by the caller (the first 64 KB of a file, a name of some KB); each is
// linear.
#pragma once

#include "core/utf8.h"
#include "intake/encoding.h"
#include "intake/file_kind.h"
#include "intake/sanitise.h"
