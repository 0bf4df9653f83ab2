#include "net/body_decoder.h"

#include <gtest/gtest.h>

namespace gbgreg::net {
namespace {

const Options kOptions;

BodyDecoder chunked() {
  Head head;
  head.framing = Framing::chunked;
  return {head, kOptions};
}

struct Decoded {
  std::string body;
  std::size_t consumed = 0;
  bool done = false;
  bool failed = false;
};

// Feeds `bytes` in pieces of `piece_size` as a socket would.
Decoded decode(BodyDecoder decoder, std::string_view bytes, std::size_t piece_size) {
  Decoded out;
  std::size_t arrived = 0;
  while (!decoder.done()) {
    const auto step = decoder.decode(bytes.substr(out.consumed, arrived - out.consumed));
    if (!step) {
      out.failed = true;
      return out;
    }
    out.body += step->data;
    out.consumed += step->consumed;
    if (decoder.done() || step->consumed > 0) continue;
    if (arrived == bytes.size()) break;
    arrived = std::min(bytes.size(), arrived + piece_size);
  }
  out.done = decoder.done();
  return out;
}

TEST(BodyDecoder, StripsChunksWhereverTheyAreCut) {
  const std::string bytes = "4\r\nWiki\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET";
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Decoded out = decode(chunked(), bytes, piece);
    EXPECT_TRUE(out.done) << piece;
    EXPECT_EQ(out.body, "Wiki0123456789") << piece;
    EXPECT_EQ(bytes.substr(out.consumed), "GET") << piece;
  }
}

TEST(BodyDecoder, TakesBlanksBeforeAnExtension) {
  const Decoded out = decode(chunked(), "4 \t ; a=b\r\nWiki\r\n0;c\r\n\r\n", 1);
  EXPECT_TRUE(out.done);
  EXPECT_EQ(out.body, "Wiki");
}

TEST(BodyDecoder, CountsEveryByteOfTheExtensionsOfABody) {
  const std::string largest = std::string(kOptions.chunk_extension_bytes_max - 3, ' ') + ";a";
  EXPECT_TRUE(decode(chunked(), "0" + largest + "b\r\n\r\n", 100).done);
  EXPECT_TRUE(decode(chunked(), "0" + largest + "bc\r\n\r\n", 100).failed);
  EXPECT_TRUE(decode(chunked(), "1;\r\na\r\n0" + largest + "b\r\n\r\n", 100).failed);
}

TEST(BodyDecoder, StopsAtTheDeclaredLength) {
  Head head;
  head.framing = Framing::length;
  head.content_length = 5;
  const Decoded out = decode(BodyDecoder(head, kOptions), "helloGET", 3);
  EXPECT_TRUE(out.done);
  EXPECT_EQ(out.body, "hello");
  EXPECT_EQ(out.consumed, 5U);
}

TEST(BodyDecoder, HasNoBodyWithoutFraming) { EXPECT_TRUE(BodyDecoder(Head{}, kOptions).done()); }

TEST(BodyDecoder, RefusesFramingThatIsNotExact) {
  const std::string cases[] = {
      "\r\n",
      "x\r\n",
      "-1\r\n",
      "4\nWiki\r\n",
      "4\r\nWikix\r\n",
      "4\r\nWiki\n",
      "4\r\rWiki",
      "10000000000000000\r\n",
      "0x4\r\nWiki\r\n",
      "4;a\nb\r\nWiki\r\n",
      "0\r\nTrailer: x\n\r\n",
      "0\r\nTrailer\r\n\r\n",
      "0\r\nTrailer : x\r\n\r\n",
      "0\r\n: x\r\n\r\n",
      "0\r\nTrailer: x\r\n folded\r\n\r\n",
      "4;" + std::string(5000, 'a') + "\r\n",
      "4" + std::string(5000, ' ') + ";a\r\n",
      "4 \r\nWiki\r\n",
      "4 9\r\nWiki\r\n",
      "4 \t9;a\r\nWiki\r\n",
      "4 a=b\r\nWiki\r\n",
      "4,\r\nWiki\r\n",
      "0\r\n" + std::string(9000, 'a') + "\r\n\r\n",
  };
  for (const std::string& bytes : cases) {
    EXPECT_TRUE(decode(chunked(), bytes, 1).failed) << bytes.substr(0, 40);
    EXPECT_TRUE(decode(chunked(), bytes, bytes.size()).failed) << bytes.substr(0, 40);
  }
}

TEST(BodyDecoder, IsNotDoneBeforeTheLastChunk) {
  const Decoded out = decode(chunked(), "4\r\nWiki\r\n", 64);
  EXPECT_FALSE(out.done);
  EXPECT_FALSE(out.failed);
}

}  // namespace
}  // namespace gbgreg::net
