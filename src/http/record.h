// What is written down of a request that is over (records/recorder.h). Pure.
//
// Requests of no route, those without a key that counts where one is needed, and those of who only watches (health,
// figures, this very record) are not on record: strangers could fill the disk by them. They are in the metrics.
#pragma once

#include <string_view>

#include "core/core.h"
#include "http/call.h"
#include "http/routes.h"
#include "records/recorder.h"

namespace gbgreg::http {

bool is_on_record(const Route& route, int status);

// `status` is that of the answer; of one that broke off after it had begun, what the error would have been goes on
// record, for nobody was helped by its 200.
// What was said is taken out of the call; the texts of the row stay the call's and those of `route`, which is its
// method and its pattern.
records::Ended record_of(Call& call, std::string_view route, int status, double total_ms, const Result<void>& outcome,
                         WallTime now);

}  // namespace gbgreg::http
