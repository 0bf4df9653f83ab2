#include "http/multipart.h"

#include <gtest/gtest.h>

#include <ctime>
#include <vector>

namespace gbgreg::http {
namespace {

using Event = MultipartParser::Event;

struct Part {
  PartHead head;
  std::string bytes;
  bool ended = false;
};

struct Form {
  std::vector<Part> parts;
  bool ended = false;
  std::string error;
};

void read_events(MultipartParser& parser, Form& form) {
  while (form.error.empty()) {
    const auto event = parser.next();
    if (!event) {
      form.error = event.error().code;
    } else if (*event == Event::need_more) {
      return;
    } else if (*event == Event::part_begin) {
      form.parts.push_back({.head = parser.part(), .bytes = {}});
    } else if (*event == Event::data) {
      EXPECT_FALSE(parser.data().empty());
      form.parts.back().bytes.append(parser.data());
    } else if (*event == Event::part_end) {
      form.parts.back().ended = true;
    } else {
      form.ended = true;
    }
  }
}

// Feeds copies, so that a view kept too long is found by the sanitizer.
Form parse_pieces(std::string_view boundary, std::vector<std::string> pieces) {
  MultipartParser parser(boundary);
  Form form;
  for (std::string& piece : pieces) {
    parser.feed(piece);
    read_events(parser, form);
    piece = std::string();
    if (!form.error.empty()) return form;
  }
  if (const auto finished = parser.finish(); !finished) form.error = finished.error().code;
  return form;
}

Form parse(std::string_view boundary, std::string_view body) { return parse_pieces(boundary, {std::string(body)}); }

std::string one_part(std::string_view head, std::string_view bytes = "x") {
  return "--b\r\n" + std::string(head) + "\r\n\r\n" + std::string(bytes) + "\r\n--b--\r\n";
}

std::string named(std::string_view parameters) { return "Content-Disposition: form-data; " + std::string(parameters); }

TEST(Multipart, GivesTheSamePartsWhereverTheBodyIsCut) {
  // Contents that begin like a boundary, and end like one.
  const std::string contents[] = {"",
                                  "hello",
                                  "\r\n",
                                  "\r\n--",
                                  "\r\n--bound",
                                  "\r\n--bounde\r\r\n\r\n--\r\n-\r\n--boun",
                                  "--bound",
                                  "\r",
                                  "a\r\n\r\n--boun\r",
                                  std::string(200, '\r'),
                                  std::string("\0\xff\r\n\0", 5)};
  std::string body = "a preamble\r\n--boun\r\n";
  for (std::size_t i = 0; i < std::size(contents); ++i) {
    body += "\r\n--boundary" + std::string(i % 3, ' ') + "\r\n" + named("name=\"f" + std::to_string(i) + "\"") +
            "\r\nContent-Type: text/plain\r\n\r\n" + contents[i];
  }
  body += "\r\n--boundary--\r\nan epilogue\r\n--boundary\r\n";

  const auto check = [&](const Form& form) {
    ASSERT_EQ(form.error, "");
    ASSERT_EQ(form.parts.size(), std::size(contents));
    for (std::size_t i = 0; i < form.parts.size(); ++i) {
      EXPECT_EQ(form.parts[i].head.name, "f" + std::to_string(i));
      EXPECT_EQ(form.parts[i].head.content_type, "text/plain");
      EXPECT_EQ(form.parts[i].bytes, contents[i]);
      EXPECT_TRUE(form.parts[i].ended);
    }
    EXPECT_TRUE(form.ended);
  };
  check(parse("boundary", body));
  for (std::size_t cut = 0; cut <= body.size(); ++cut) {
    SCOPED_TRACE(cut);
    check(parse_pieces("boundary", {body.substr(0, cut), body.substr(cut)}));
  }
  for (std::size_t size = 1; size < 40; ++size) {
    SCOPED_TRACE(size);
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < body.size(); at += size) pieces.push_back(body.substr(at, size));
    check(parse_pieces("boundary", pieces));
  }
}

TEST(Multipart, EveryBodyThatEndsBeforeItsClosingBoundaryIsMalformed) {
  const std::string body = "--b\r\n" + named("name=a") + "\r\n\r\nhello\r\n--b--";
  EXPECT_EQ(parse("b", body).error, "");
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_EQ(parse("b", body.substr(0, size)).error, "malformed_multipart") << size;
  }
}

TEST(Multipart, ReadsNamesAsBrowsersAndCurlSendThem) {
  struct Case {
    const char* what;
    std::string_view parameters;
    std::string_view name;
    std::optional<std::string> filename;
  };
  const Case cases[] = {
      {"field", "name=\"a\"", "a", std::nullopt},
      {"token", "name=a; filename=b.txt", "a", "b.txt"},
      {"file", "name=\"file\"; filename=\"b c;=.txt\"", "file", "b c;=.txt"},
      {"no file chosen", "name=\"file\"; filename=\"\"", "file", ""},
      {"a quote as browsers send it", "name=\"file\"; filename=\"a%22b%0D%0A.txt\"", "file", "a\"b\r\n.txt"},
      {"other percents stay", "name=\"file\"; filename=\"100%25 %2e%2F%\"", "file", "100%25 %2e%2F%"},
      {"a quote as curl sends it", "name=\"file\"; filename=\"a\\\"b\\\\c.txt\"", "file", "a\"b\\c.txt"},
      {"a path of Windows", "name=\"file\"; filename=\"C:\\new.txt\"", "file", "C:\\new.txt"},
      {"raw UTF-8", "name=\"file\"; filename=\"na\xC3\xAFve.txt\"", "file", "na\xC3\xAFve.txt"},
      {"extended name wins", "name=file; filename=\"x\"; filename*=UTF-8''na%C3%AFve%20a.txt", "file",
       "na\xC3\xAFve a.txt"},
      {"extended name first", "filename*=utf-8'en'b; name=file; filename=x", "file", "b"},
      {"case and blanks", "NAME=a  ;\tFileName=\"b\"", "a", "b"},
      {"unknown parameters", "name=a; size=3; x=\"y\"", "a", std::nullopt},
      {"traversal is only a name", "name=file; filename=\"../../etc/passwd\"", "file", "../../etc/passwd"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    const Form form = parse("b", one_part(named(c.parameters)));
    ASSERT_EQ(form.error, "");
    EXPECT_EQ(form.parts[0].head.name, c.name);
    EXPECT_EQ(form.parts[0].head.filename, c.filename);
  }
}

TEST(Multipart, RefusesHeadsThatTwoReadersCouldReadDifferently) {
  const std::string_view heads[] = {
      "Content-Type: text/plain",
      "Content-Disposition: attachment; name=a",
      "Content-Disposition: form-data",
      "Content-Disposition: form-data; filename=a",
      "Content-Disposition: form-data; name",
      "Content-Disposition: form-data; name=",
      "Content-Disposition: form-data; name=a b",
      "Content-Disposition: form-data; name=\"a",
      "Content-Disposition: form-data; name=\"a\\\"",
      "Content-Disposition: form-data; name=a; name=b",
      "Content-Disposition: form-data; name=a; filename=x; filename=y",
      "Content-Disposition: form-data; name=a; filename*=x",
      "Content-Disposition: form-data; name=a; filename*=UTF-8'x",
      "Content-Disposition: form-data; name=a; filename*=iso-8859-1''x",
      "Content-Disposition: form-data; name=a; filename*=UTF-8''%4",
      "Content-Disposition: form-data; name=a; filename*=UTF-8''%zz",
      "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
      "Content-Disposition: form-data;\r\n name=a",
      "Content-Disposition : form-data; name=a",
      "Content-Disposition: form-data; name=a\nX: y",
      "Content-Disposition: form-data; name=a\r\nno field",
      "Content-Disposition: form-data; name=a\r\n: no name",
      "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64",
  };
  for (const auto head : heads) {
    SCOPED_TRACE(head);
    EXPECT_EQ(parse("b", one_part(head)).error, "malformed_multipart");
  }
  EXPECT_EQ(parse("b", one_part(named("name=\"a") + std::string("\0\"", 2))).error, "malformed_multipart");
  EXPECT_EQ(parse("b", "--b\r\n\r\nno head\r\n--b--").error, "malformed_multipart");
  EXPECT_EQ(parse("b", one_part(named("name=a") + "\r\nContent-Transfer-Encoding: Binary")).error, "");
}

TEST(Multipart, ABoundaryMustEndItsLine) {
  EXPECT_EQ(parse("b", "--bx\r\n").error, "malformed_multipart");
  EXPECT_EQ(parse("b", "--b-\r\n").error, "malformed_multipart");
  EXPECT_EQ(parse("b", "--b\n").error, "malformed_multipart");
  EXPECT_EQ(parse("b", "--b\r\r\n").error, "malformed_multipart");
  EXPECT_EQ(parse("b", "--b" + std::string(300, ' ') + "\r\n").error, "malformed_multipart");
  EXPECT_EQ(parse("b", "--b--").error, "");
}

TEST(Multipart, BoundsTheHeadOfAPart) {
  const std::string head = named("name=a") + "\r\nX: ";
  const auto of_size = [&](std::size_t size) { return one_part(head + std::string(size - head.size(), 'x')); };
  EXPECT_EQ(parse("b", of_size(kPartHeadBytesMax - 2)).error, "");
  EXPECT_EQ(parse("b", of_size(kPartHeadBytesMax + 1)).error, "malformed_multipart");
  EXPECT_EQ(parse("b", "--b\r\n" + std::string(20'000, 'x')).error, "malformed_multipart");
}

TEST(Multipart, BoundsTheNumberOfParts) {
  const std::string part = "--b\r\n" + named("name=a") + "\r\n\r\nx\r\n";
  std::string body;
  for (std::size_t i = 0; i < kPartsMax; ++i) body += part;
  EXPECT_EQ(parse("b", body + "--b--").parts.size(), kPartsMax);
  EXPECT_EQ(parse("b", body + "--b--").error, "");
  EXPECT_EQ(parse("b", body + part + "--b--").error, "too_many_parts");
}

// Bytes chosen to make a naive scan go back again and again. The bound is generous, for sanitizers and busy machines.
TEST(Multipart, TakesTimeInProportionToTheBody) {
  const std::string boundary(70, '-');
  const std::string patterns[] = {"\r", "\r\n", "\r\n--", "-", "\r\n--" + std::string(69, '-'), "a"};
  for (const auto& pattern : patterns) {
    std::string piece;
    while (piece.size() < 1'000'000) piece += pattern + "x";
    MultipartParser parser(boundary);
    Form form;
    const std::string begin = "--" + boundary + "\r\n" + named("name=a") + "\r\n\r\n";
    parser.feed(begin);
    read_events(parser, form);
    const std::clock_t started = std::clock();
    for (int i = 0; i < 16; ++i) {
      parser.feed(piece);
      while (parser.next().value() != Event::need_more) {
      }
    }
    EXPECT_LT(static_cast<double>(std::clock() - started) / CLOCKS_PER_SEC, 2.0);
  }
}

TEST(MultipartBoundary, IsReadStrictly) {
  struct Case {
    std::string_view content_type;
    std::string_view want;  // The boundary, or the code of the error.
  };
  const std::string longest(70, 'x');
  const std::string longest_type = "multipart/form-data; boundary=" + longest;
  const std::string too_long_type = longest_type + "x";
  const Case cases[] = {
      {"multipart/form-data; boundary=abc", "abc"},
      {"Multipart/Form-Data;BOUNDARY=\"a b:c\"", "a b:c"},
      {"multipart/form-data; charset=utf-8; boundary=----WebKitFormBoundary7MA4YWxk", "----WebKitFormBoundary7MA4YWxk"},
      {longest_type, longest},
      {too_long_type, "malformed_multipart"},
      {"multipart/form-data", "malformed_multipart"},
      {"multipart/form-data; boundary=", "malformed_multipart"},
      {"multipart/form-data; boundary=\"\"", "malformed_multipart"},
      {"multipart/form-data; boundary=\"a \"", "malformed_multipart"},
      {"multipart/form-data; boundary=\"a", "malformed_multipart"},
      {"multipart/form-data; boundary=a\x80", "malformed_multipart"},
      {"multipart/form-data; boundary=\"a@b\"", "malformed_multipart"},
      {"multipart/form-data; boundary=a; boundary=b", "malformed_multipart"},
      {"multipart/form-data boundary=a", "expected_multipart"},
      {"multipart/mixed; boundary=a", "expected_multipart"},
      {"application/json", "expected_multipart"},
      {"", "expected_multipart"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.content_type);
    const auto boundary = multipart_boundary(c.content_type);
    EXPECT_EQ(boundary ? *boundary : boundary.error().code, c.want);
  }
  EXPECT_EQ(multipart_boundary("text/plain").error().kind, Kind::unsupported_type);
}

}  // namespace
}  // namespace gbgreg::http
