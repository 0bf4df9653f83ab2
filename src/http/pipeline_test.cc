#include "http/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <new>

#include "http/fake_exchange.h"
#include "net/io_thread.h"

namespace gbgreg::http {
namespace {

using testing::HasSubstr;

const std::exception_ptr kClientLeft =
    std::make_exception_ptr(boost::system::system_error(asio::error::operation_aborted));
const std::exception_ptr kNoMemory = std::make_exception_ptr(std::bad_alloc());

class PipelineTest : public testing::Test {
 protected:
  FakeExchange get_x() {
    FakeExchange exchange("GET", {}, "", "");
    exchange.mutable_head().path = "/x";
    exchange.thread = &io_;
    return exchange;
  }

  void run(Task<void> task) {
    spawn(io_.executor(), "test", std::move(task));
    io_.context().restart();
    io_.context().run();
  }

  // Answers GET /x by `handle`.
  void handle(FakeExchange& exchange, Handle handle) {
    std::vector<Route> routes{{"GET", "/x", std::move(handle)}};
    metrics::Registry registry(1);
    Pipeline pipeline(std::move(routes), {}, registry, clock_);
    run(pipeline.handle(exchange));
  }

  SystemClock clock_;
  net::Options net_options_;
  net::IoThread io_{0, net_options_};
};

Task<Result<void>> fail_at_once(Call&) { co_return fail(Kind::not_found, "no_x", "There is no x."); }

Task<Result<void>> fail_after_a_head(Call& call) {
  net::HeaderFields fields{{.name = "ETag", .value = "first"}};
  call.exchange.begin_sized(200, "text/plain", 3, std::move(fields));
  co_return fail(Kind::unavailable, "x_away", "The x is away.");
}

TEST_F(PipelineTest, AnErrorTakesThePlaceOfAnAnswerOfWhichNothingHasLeft) {
  FakeExchange exchange = get_x();
  handle(exchange, fail_after_a_head);
  EXPECT_EQ(exchange.status(), 503);
  EXPECT_THAT(exchange.answer, HasSubstr("\"x_away\""));
  EXPECT_FALSE(exchange.answer_fields.contains("ETag"));
  EXPECT_TRUE(is_uuid(exchange.answer_fields.at("X-Request-Id")));
}

TEST_F(PipelineTest, AnswersOptionsWhereThereIsSomethingAndNowhereElse) {
  struct Case {
    const char* path;
    int status;
    const char* allow;
  };
  const Case cases[] = {{"/x", 204, "GET, HEAD, OPTIONS"}, {"*", 204, "OPTIONS"}, {"/y", 404, ""}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.path);
    FakeExchange exchange = get_x();
    exchange.mutable_head().method = "OPTIONS";
    exchange.mutable_head().path = c.path;
    handle(exchange, fail_at_once);
    EXPECT_EQ(exchange.status(), c.status);
    EXPECT_EQ(exchange.answer_fields["Allow"], c.allow);
    EXPECT_FALSE(exchange.answer_fields.contains("Access-Control-Allow-Origin"));
  }
}

TEST_F(PipelineTest, LetsAPageThatMayAskReadItsErrorsToo) {
  for (const bool may : {true, false}) {
    FakeExchange exchange = get_x();
    exchange.mutable_head().fields.push_back({"Origin", may ? "http://localhost:5173" : "https://evil.example"});
    handle(exchange, fail_at_once);
    EXPECT_EQ(exchange.status(), may ? 404 : 403);
    EXPECT_EQ(exchange.answer_fields["Access-Control-Allow-Origin"], may ? "http://localhost:5173" : "");
  }
}

TEST_F(PipelineTest, CountsAlsoWhatCouldNotBeAnswered) {
  struct Case {
    const char* name;
    std::exception_ptr escapes;
    const char* status;
  };
  const Case cases[] = {{"the client leaves", kClientLeft, "499"}, {"no memory", kNoMemory, "other"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    metrics::Registry registry(1);
    std::vector<Route> routes{{"GET", "/x", fail_at_once}};
    Pipeline pipeline(std::move(routes), {}, registry, clock_);

    FakeExchange asked = get_x();
    asked.respond_throws = c.escapes;
    run(pipeline.handle(asked));
    FakeExchange refused = get_x();
    refused.respond_throws = c.escapes;
    run(pipeline.refuse(refused, {.kind = Kind::malformed, .code = "malformed_http", .message = "No."}));

    const std::string status = std::string("status=\"") + c.status + "\"";
    const std::string text = registry.prometheus_text();
    EXPECT_THAT(text, HasSubstr(R"({method="GET",route="/x",)" + status + "} 1\n"));
    EXPECT_THAT(text, HasSubstr(R"({method="any",route="none",)" + status + "} 1\n"));
  }
}

}  // namespace
}  // namespace gbgreg::http
