// An exchange without a socket, for tests: a request that is there, an answer that is kept.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/exchange.h"

namespace gbgreg::http {

class FakeExchange final : public net::Exchange {
 public:
  FakeExchange(std::string method, std::vector<net::Field> fields, std::string query, std::string body)
      : method_(std::move(method)), query_(std::move(query)), body_(std::move(body)) {
    head_.method = method_;
    head_.query = query_;
    head_.fields = std::move(fields);
    head_.framing = body_.empty() ? net::Framing::none : net::Framing::length;
    head_.content_length = body_.size();
  }

  net::RequestHead& mutable_head() { return head_; }
  std::size_t piece_bytes = 50'000;
  std::string peer_text = "test";
  std::map<std::string, std::string> answer_fields;
  std::string content_type;
  std::string answer;
  bool finished = false;
  bool large_pieces_wanted = false;
  net::IoThread* thread = nullptr;    // For tests that come as far as the metrics.
  std::exception_ptr respond_throws;  // What a client that leaves, or a lack of memory, makes of an answer.

  net::IoThread& io() override {
    if (thread == nullptr) throw std::logic_error("this fake exchange was given no thread");
    return *thread;
  }
  const net::RequestHead& head() const override { return head_; }
  std::string_view peer() const override { return peer_text; }
  Task<Result<std::string_view>> read_body() override {
    const std::string_view piece = std::string_view(body_).substr(read_, piece_bytes);
    read_ += piece.size();
    co_return piece;
  }
  void want_large_pieces() override { large_pieces_wanted = true; }
  void cancel_when_client_leaves() override {}
  void add_field(std::string_view name, std::string value) override { answer_fields[std::string(name)] = value; }
  void add_late_fields(const net::LateFields& fields) override { late_fields_ = &fields; }
  Task<Result<void>> respond(int status, std::string_view type, std::string_view body,
                             net::HeaderFields fields) override {
    if (respond_throws) std::rethrow_exception(respond_throws);
    begin(status, type, std::move(fields));
    begun_ = true;
    answer = body;
    finished = true;
    co_return Result<void>{};
  }
  void begin_sized(int status, std::string_view type, std::uint64_t length, net::HeaderFields fields) override {
    begin(status, type, std::move(fields));
    length_ = length;
  }
  void begin_stream(int, std::string_view, net::HeaderFields) override {
    throw std::logic_error("uploads have a length");
  }
  Task<Result<void>> write(std::string_view piece) override {
    write_at_once(piece);
    co_return Result<void>{};
  }
  bool write_at_once(std::string_view piece) override {
    if (head_.method == "HEAD" || piece.empty()) return true;
    begun_ = true;
    answer.append(piece);
    return true;
  }
  Task<Result<void>> flush() override { co_return Result<void>{}; }
  Task<Result<void>> finish() override {
    if (head_.method != "HEAD") EXPECT_EQ(answer.size(), length_);
    begun_ = finished = true;
    co_return Result<void>{};
  }
  bool begun() const override { return begun_; }
  int status() const override { return status_; }
  std::uint64_t body_bytes_read() const override { return read_; }
  std::uint64_t body_bytes_written() const override { return answer.size(); }

 private:
  // A head that was begun and never left gives way to this one.
  void begin(int status, std::string_view type, net::HeaderFields fields) {
    status_ = status;
    content_type = type;
    for (const std::string& name : begun_fields_) answer_fields.erase(name);
    begun_fields_.clear();
    for (net::HeaderField& field : fields) {
      begun_fields_.emplace_back(field.name);
      answer_fields[begun_fields_.back()] = std::move(field.value);
    }
    std::string late;
    if (late_fields_ != nullptr) late_fields_->append_to(late);
    for (std::string_view lines = late; !lines.empty();) {
      const std::string_view line = lines.substr(0, lines.find("\r\n"));
      const std::size_t colon = line.find(": ");
      answer_fields[std::string(line.substr(0, colon))] = line.substr(colon + 2);
      lines.remove_prefix(line.size() + 2);
    }
  }

  std::string method_, query_, body_;
  net::RequestHead head_;
  std::size_t read_ = 0;
  const net::LateFields* late_fields_ = nullptr;
  std::uint64_t length_ = 0;
  int status_ = 0;
  bool begun_ = false;
  std::vector<std::string> begun_fields_;
};

}  // namespace gbgreg::http
