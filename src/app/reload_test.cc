#include "app/reload.h"

#include <gmock/gmock.h>

#include <functional>

namespace gbgreg::app {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Reload, NamesWhatTheRunningGatewayCannotChange) {
  struct Case {
    const char* key;
    std::function<void(config::Config&)> change;
  };
  const Case cases[] = {
      {"listen", [](config::Config& c) { c.listen = {"127.0.0.1:4444"}; }},
      {"tls", [](config::Config& c) { c.tls.emplace(net::CertificateFiles{.certificate = "c", .key = "k"}); }},
      {"data", [](config::Config& c) { c.data = "/elsewhere"; }},
      {"database", [](config::Config& c) { c.database = "postgresql://elsewhere/gbgreg"; }},
      {"engine", [](config::Config& c) { c.fleet.engine = "/elsewhere/llama-server"; }},
      {"threads", [](config::Config& c) { c.net.threads = 9; }},
      {"limits.connections_max", [](config::Config& c) { c.net.connections_max = 9; }},
      {"tracing", [](config::Config& c) { c.tracing.endpoint = "http://127.0.0.1:4318"; }},
  };
  const config::Config running;
  EXPECT_THAT(needs_restart(running, running), IsEmpty());
  for (const auto& c : cases) {
    SCOPED_TRACE(c.key);
    config::Config fresh;
    c.change(fresh);
    EXPECT_THAT(needs_restart(running, fresh), ElementsAre(c.key));
    EXPECT_THAT(changes_in_place(running, fresh), IsEmpty());
    // It goes on with what it has, and says so at the next reload as well.
    const config::Config next = as_it_can_be(running, fresh);
    EXPECT_THAT(needs_restart(running, next), IsEmpty());
    EXPECT_THAT(needs_restart(next, fresh), ElementsAre(c.key));
  }
}

TEST(Reload, SaysWhatChangesAtOnce) {
  config::Config running, fresh;
  running.http.hosts = {"old.example"};
  fresh.http.upload_bytes_max = 5;
  fresh.http.json_bytes_max = 2048;
  fresh.http.unknown_binaries_allowed = true;
  fresh.stores.fetch.stall_timeout = std::chrono::seconds(7);
  fresh.http.origins = {"https://a.example", "https://b.example"};
  fresh.stores.registries = {"hub.example"};
  fresh.stores.other_folders = {"/secret/place"};
  fresh.keys.required = keys::Required::always;
  fresh.log_level = "debug";
  EXPECT_THAT(
      changes_in_place(running, fresh),
      ElementsAre("limits.upload_bytes_max is 5 instead of 104857600.",
                  "limits.json_bytes_max is 2048 instead of 33554432.", "limits.pull_stall_seconds is 7 instead of 30.",
                  "uploads.allow_unknown_binaries is now true.", "hosts is now none.",
                  "origins is now https://a.example, https://b.example.", "registries is now hub.example.",
                  "model_stores has changed.", "auth.required has changed.", "log_level is now debug."));
  EXPECT_THAT(needs_restart(running, fresh), IsEmpty());
  EXPECT_EQ(as_it_can_be(running, fresh).http.json_bytes_max, 2048U);
}

TEST(Reload, KeepsTheStoreOfModelsWhereItIs) {
  config::Config running, fresh;
  running.data = "/data";
  running.stores.folder = "/data/models";
  fresh.data = "/other";
  fresh.stores.folder = "/other/models";
  EXPECT_EQ(as_it_can_be(running, fresh).stores.folder, "/data/models");
}

}  // namespace
}  // namespace gbgreg::app
