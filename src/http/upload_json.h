// An upload, as every native answer that has one says it. Pure.
#pragma once

#include <boost/json/object.hpp>

#include "storage/uploads.h"

namespace gbgreg::http {

boost::json::object upload_json(const storage::Upload& upload);

}  // namespace gbgreg::http
