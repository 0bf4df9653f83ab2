// What outlives the process: rows in a database, bytes in a folder.
//
// For: the rows of uploads (uploads.h), projects (projects.h), of what was seen on images (screenshots.h), of requests
// (requests.h), of keys (keys.h) and of who did what (audit.h) on SQLite or PostgreSQL through SOCI (database.h,
// dialect.h, migrations.h), and the bytes of files stored once by SHA-256 (blob_store.h). Not for: deciding what a file
// is or when it may go; that is intake/ and services/.
//
// Threads: everything here blocks and belongs on the storage pool, through offload(). Every class may be used from any
// number of pool threads at once, but for BlobWriter, which one thread uses at a time.
//
// Promises: a call that returned success is on the disk. Nothing throws for a full disk, a locked or lost database:
// each is an Error of kind unavailable (code storage_full, storage_failed, database_busy), and the next call may
// succeed.
#pragma once

#include "storage/audit.h"
#include "storage/blob_store.h"
#include "storage/copy_rows.h"
#include "storage/database.h"
#include "storage/disk.h"
#include "storage/key_shares.h"
#include "storage/keys.h"
#include "storage/loose_rows.h"
#include "storage/migrations.h"
#include "storage/open.h"
#include "storage/options.h"
#include "storage/projects.h"
#include "storage/request_texts.h"
#include "storage/requests.h"
#include "storage/reserve.h"
#include "storage/screenshots.h"
#include "storage/snapshot.h"
#include "storage/uploads.h"
