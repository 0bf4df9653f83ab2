#include "protocols/native.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "core/utf8.h"

namespace gbgreg::protocols::native {
namespace {

using testing::HasSubstr;

TEST(WriteError, EveryKindHasACodeAndIsJson) {
  for (int kind = 0; kind <= static_cast<int>(Kind::unknown_version); ++kind) {
    const Error error{.kind = static_cast<Kind>(kind), .code = "", .message = "What to do."};
    const auto json = boost::json::parse(write_error(error, "r1")).as_object();
    EXPECT_EQ(json.at("error").at("code").as_string(), std::string(kind_name(error.kind)));
    EXPECT_EQ(json.at("error").at("request_id").as_string(), "r1");
  }
}

TEST(WriteError, KeepsTheDetailForTheLogToItself) {
  const Error error{.code = "c", .message = "m", .detail = "/srv/secret", .details_json = R"({"known":["auto"]})"};
  EXPECT_EQ(write_error(error, "r"),
            R"({"error":{"code":"c","message":"m","details":{"known":["auto"]},"request_id":"r"}})");
}

TEST(WriteError, IsValidUtf8WhateverTheClientSaid) {
  const Error error{.code = "c", .message = "There is no \"\xFF\xC3\" here."};
  const std::string body = write_error(error, "r");
  EXPECT_TRUE(is_valid_utf8(body));
  EXPECT_NO_THROW(boost::json::parse(body));
}

TEST(ParseRoute, TakesWhatGenerateTakes) {
  const auto got = parse_route(R"({"prompt":"Hi","system":"S","model":"technical","options":{"seed":1}})", {});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->request.model, "technical");
  EXPECT_EQ(got->request.messages.size(), 2U);
}

TEST(ParseRoute, TakesMessages) {
  const auto got = parse_route(R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"a"},
      {"role":"assistant","content":null},{"role":"user","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}],
       "images":["R0lGODlhAQABAAAAACw="],"name":"x"}]})",
                               {});
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->request.messages.size(), 4U);
  EXPECT_EQ(got->request.messages[0].speaker, llm::Speaker::system);
  EXPECT_EQ(got->request.messages[2].speaker, llm::Speaker::assistant);
  EXPECT_EQ(got->request.messages[3].text, "bc");
  EXPECT_TRUE(got->request.has_image());
}

TEST(ParseRoute, MistakesInMessagesAreNamed) {
  struct Case {
    const char* body;
    const char* message;
  };
  const Case cases[] = {
      {R"({"messages":[]})", "at least one message"},
      {R"({"messages":{}})", "\"messages\" must be an array."},
      {R"({"messages":["x"]})", "\"messages[0]\" must be an object."},
      {R"({"messages":[{"content":"x"}]})", "\"messages[0]\" must be a message with a \"role\"."},
      {R"({"messages":[{"role":"robot","content":"x"}]})", "\"messages[0].role\" must be"},
      {R"({"messages":[{"role":"user","content":5}]})", "\"messages[0].content\" must be a string."},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})",
       "\"messages[0].content[0]\" must be a part"},
      {R"({"messages":[{"role":"user","content":"x"}],"prompt":"y"})", "not both"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.body);
    const auto got = parse_route(c.body, {});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::malformed);
    EXPECT_THAT(got.error().message, HasSubstr(c.message));
  }
}

TEST(ParseRoute, MessagesAndTheirImagesAreBounded) {
  Limits limits;
  limits.messages_max = 1;
  EXPECT_FALSE(parse_route(R"({"messages":[{"role":"user"},{"role":"user"}]})", limits));
  limits.messages_max = 5;
  limits.images_max = 1;
  const std::string message = R"({"role":"user","images":["R0lGODlhAQABAAAAACw="]})";
  EXPECT_TRUE(parse_route("{\"messages\":[" + message + "]}", limits));
  EXPECT_EQ(parse_route("{\"messages\":[" + message + "," + message + "]}", limits).error().code, "too_many_images");
}

TEST(WriteDecision, HasTheShapeOfTheContract) {
  const llm::Decision decision{
      .role = "technical",
      .model = "m",
      .backend = "technical/m",
      .complexity = {.level = 2, .score = 0.3333333},
      .confidence = 0.9,
      .signals = {{.name = "code_fence", .value = 1, .weight = 1.5}},
      .predicted = {.queue_ms = 0, .ttft_ms = 10, .total_ms = 20, .tokens = 5},
      .alternatives = {{.role = "vision", .model = "v", .score = 0, .why_not = "there is no image"}},
      .reason = "Because."};
  EXPECT_EQ(
      write_decision(decision),
      R"({"role":"technical","model":"m","backend":"technical/m","complexity":{"level":2,"score":0.333},)"
      R"("confidence":0.9,"signals":[{"name":"code_fence","value":1,"weight":1.5}],)"
      R"("predicted":{"queue_ms":0,"ttft_ms":10,"total_ms":20,"tokens":5},)"
      R"("alternatives":[{"role":"vision","model":"v","score":0,"why_not":"there is no image"}],"reason":"Because."})");
}

TEST(WriteHealth, HasTheShapeOfTheContract) {
  HealthReport report;
  report.status = "degraded";
  report.version = "0.1.0";
  report.uptime_seconds = 12;
  report.backends.push_back(
      {.id = "technical/m",
       .role = "technical",
       .model = "m",
       .state = llm::BackendState::ready,
       .embeds = true,
       .is_demo = true,
       .objective_ms = 5000,
       .tokens_per_second = 20.5,
       .total_p95_ms = 6000,
       .placement = {.device = "CUDA0", .gpu_layers = 33, .total_layers = 33, .projector = "CUDA0"},
       .port = 11437});
  report.backends.push_back({.id = "vision/v",
                             .role = "vision",
                             .model = "v",
                             .state = llm::BackendState::failed,
                             .detail = "It would not start."});
  report.card_use = {{.memory_bytes = 5000, .tokens_per_second_bound = 224}, {}};
  report.storage.free_bytes = 1000;
  report.gpu.status = "fault";
  report.gpu.devices.push_back({.id = "CUDA0",
                                .name = "A card",
                                .memory_total_bytes = 16,
                                .processes = {{.role = "technical", .model = "m", .bytes = 5000}, {}}});
  report.gpu.findings.push_back({.code = "c", .severity = gpu::Severity::error, .message = "m", .fix = "f"});
  EXPECT_EQ(
      write_health(report),
      R"({"status":"degraded","version":"0.1.0","uptime_seconds":12,"models":{"operational":1,"total":2,"roles":[)"
      R"({"role":"technical","model":"m","state":"ready","port":11437,"device":"CUDA0","gpu_layers":33,)"
      R"("total_layers":33,"projector":"CUDA0","gpu_memory_bytes":5000,"tokens_per_second":20.5,)"
      R"("tokens_per_second_bound":224,"objective_ms":5000,"p95_ms":6000,"objective_met":false,)"
      R"("embeddings":true,"demo":true,"detail":null},)"
      R"({"role":"vision","model":"v","state":"failed","port":null,"device":"unknown","gpu_layers":null,)"
      R"("total_layers":null,"projector":null,"gpu_memory_bytes":null,"tokens_per_second":null,)"
      R"("tokens_per_second_bound":null,"objective_ms":5000,"p95_ms":null,"objective_met":true,)"
      R"("embeddings":false,"demo":false,"detail":"It would not start."}]},)"
      R"("database":{"status":"healthy","kind":"sqlite"},"storage":{"status":"healthy","free_bytes":1000},)"
      R"("gpu":{"status":"fault","devices":[{"id":"CUDA0","name":"A card","memory_total_bytes":16,)"
      R"("memory_free_bytes":null,"bandwidth_bytes_per_second":null,"utilisation_percent":null,)"
      R"("utilisation_decoding_percent":null,"processes":[{"role":"technical","model":"m","bytes":5000},)"
      R"({"role":null,"model":null,"bytes":null}]}],)"
      R"("findings":[{"code":"c","severity":"error","message":"m","fix":"f"}]}})");
}

TEST(WriteHealth, SaysOnlyStatesOfTheContract) {
  for (const auto state : {llm::BackendState::stopped, llm::BackendState::loading, llm::BackendState::ready,
                           llm::BackendState::draining, llm::BackendState::failed}) {
    HealthReport report;
    report.backends.push_back({.id = "r/m", .role = "r", .model = "m", .state = state});
    EXPECT_THAT(write_health(report), testing::Not(HasSubstr("draining")));
  }
}

TEST(WriteVersion, IsSmall) { EXPECT_EQ(write_version("0.1.0"), R"({"version":"0.1.0"})"); }

}  // namespace
}  // namespace gbgreg::protocols::native
