#include "routing/features.h"

#include <gtest/gtest.h>

#include <string>

#include "routing/complexity.h"

namespace gbgreg::routing {
namespace {

TEST(ReadFeatures, SeesTheShapesOfCode) {
  struct Case {
    const char* name;
    const char* prompt;
    Sign sign;
  };
  const Case cases[] = {
      {"a fence", "what is wrong?\n```python\nprint(1\n```", Sign::code_fence},
      {"inline code", "what does `git stash` keep?", Sign::code_inline},
      {"a program", "int main() {\n  return 0;\n}", Sign::code_lines},
      {"a style sheet", ".card { padding: 4px }\n.card p { margin: 0 }", Sign::code_lines},
      {"a stack trace", "Traceback (most recent call last):\n  File \"a.py\", line 3", Sign::stack_trace},
      {"a shell line", "$ systemctl status cron", Sign::shell},
      {"a command with a flag", "ls -la", Sign::shell},
      {"a file", "my settings.yaml is not read", Sign::file_name},
      {"a path", "who writes to /var/log all day", Sign::file_name},
      {"snake case", "rename user_id and order_id", Sign::identifier},
      {"camel case", "where is getUserName and setUserName", Sign::identifier},
      {"a language", "is Kotlin null safe", Sign::tech_strong},
      {"a language with signs in its name", "templates in C++ are hard", Sign::tech_strong},
      {"a Chinese word", "这段代码有什么问题", Sign::tech_strong},
      {"a Russian word, capitalised", "Напиши Программу на языке Си", Sign::tech_strong},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_GT(read_features(c.prompt)[c.sign], 0.2F);
  }
}

TEST(ReadFeatures, SeesWhatIsAskedInManyLanguages) {
  struct Case {
    const char* prompt;
    Sign sign;
  };
  const Case cases[] = {
      {"Please summarise the minutes", Sign::write_act},
      {"Traduis cette phrase en anglais", Sign::write_act},
      {"Schreibe eine kurze Rede", Sign::write_act},
      {"帮我写一封信", Sign::write_act},
      {"다음 글을 요약해 줘", Sign::write_act},
      {"この文を翻訳して", Sign::write_act},
      {"Напиши письмо", Sign::write_act},
      {"Escribe un poema", Sign::text_form},
      {"Why is the sky blue", Sign::explain_act},
      {"Warum ist Schnee weiß", Sign::explain_act},
      {"为什么天是蓝的", Sign::explain_act},
      {"Hello there", Sign::greeting},
      {"ПРИВЕТ", Sign::greeting},
      {"你好", Sign::greeting},
      {"thanks a lot", Sign::thanks},
      {"Who wrote Faust", Sign::fact_question},
      {"¿Dónde está Quito?", Sign::fact_question},
      {"remind me at nine", Sign::errand},
      {"12 * 12", Sign::arithmetic},
      {"Prove that 2 is prime", Sign::reason_act},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.prompt);
    EXPECT_GT(read_features(c.prompt)[c.sign], 0.4F);
  }
}

TEST(ReadFeatures, AWordCountsAsAWholeOnly) {
  EXPECT_EQ(read_features("a gitarre and a phishing rustle")[Sign::tech_strong], 0);
  EXPECT_EQ(read_features("the thinker")[Sign::greeting], 0);
  EXPECT_GT(read_features("(git)")[Sign::tech_strong], 0.5F);
  EXPECT_GT(read_features("“git”")[Sign::tech_strong], 0.5F);
}

TEST(ReadFeatures, CountsWordsAndSentences) {
  const auto english = read_features("One two three. Four five?");
  EXPECT_EQ(english.words, 5);
  EXPECT_EQ(english.sentences, 2);
  EXPECT_EQ(read_features("今天天气很好。").words, 3);
  EXPECT_EQ(read_features("it's well-known").words, 2);
}

TEST(ReadFeatures, FindsTheLengthThatIsAskedFor) {
  EXPECT_EQ(read_features("Write 1,500 words on tides").length_asked, 1500);
  EXPECT_EQ(read_features("a 300-word abstract").length_asked, 300);
  EXPECT_EQ(read_features("写一篇800字的文章").length_asked, 400);
  EXPECT_EQ(read_features("two words").length_asked, 0);
  EXPECT_EQ(read_features("99999999999999999999 words").length_asked, 1'000'000);
}

TEST(ReadFeatures, NothingAndSignsAloneHaveNoWords) {
  EXPECT_EQ(read_features("")[Sign::no_words], 1);
  EXPECT_EQ(read_features(" \n\t ")[Sign::no_words], 1);
  EXPECT_EQ(read_features("?!…")[Sign::no_words], 0) << "a character outside ASCII counts as a letter";
  EXPECT_EQ(read_features("?!.")[Sign::no_words], 1);
}

TEST(ReadFeatures, TakesAnyBytes) {
  for (int first = 0; first < 256; ++first) {
    std::string bytes;
    for (int i = 0; i < 300; ++i) bytes += static_cast<char>(first + i * i);
    const auto features = read_features(bytes);
    for (const float strength : features.strength) {
      EXPECT_GE(strength, 0);
      EXPECT_LE(strength, 1);
    }
  }
}

TEST(ReadFeatures, ReadsTheHeadAndTheTailOfALongText) {
  std::string text = "Please review this.\n";
  for (int i = 0; i < 100'000; ++i) text += "бла ";
  text += "\nIs my Dockerfile right?";
  const auto features = read_features(text);
  EXPECT_GT(features[Sign::tech_strong], 0.5F);
  EXPECT_EQ(features[Sign::long_text], 1);
  EXPECT_GT(features.words, 80'000);
  EXPECT_EQ(features.bytes, text.size());
}

TEST(ReadFeatures, LooksAtTheLastUserMessageAndALittleAtWhatCameBefore) {
  llm::Request request;
  request.messages.push_back({.speaker = llm::Speaker::user, .text = "A SQL query for all orders, please"});
  request.messages.push_back({.speaker = llm::Speaker::assistant, .text = "SELECT * FROM orders;"});
  request.messages.push_back({.speaker = llm::Speaker::user, .text = "and the newest first?"});
  const auto features = read_features(request);
  EXPECT_EQ(features[Sign::talk_of_code], 1);
  EXPECT_EQ(features[Sign::tech_strong], 0);
  EXPECT_EQ(features.messages, 3);
}

TEST(ReadFeatures, CountsImagesAndKeepsTheAskedBound) {
  llm::Request request;
  request.messages.push_back({.text = "what is this?", .images = {{.base64 = "AAAA", .media_type = "image/png"}}});
  request.sampling.tokens_max = 7;
  const auto features = read_features(request);
  EXPECT_EQ(features.images, 1);
  EXPECT_EQ(features.answer_tokens_max, 7);
}

TEST(ReadFeatures, ARequestWithoutAUserMessageIsEmpty) { EXPECT_EQ(read_features(llm::Request{})[Sign::no_words], 1); }

TEST(SignName, EverySignHasANameOfItsOwn) {
  std::string names = "|";
  for (std::size_t i = 0; i < kSigns; ++i) {
    const std::string name = std::string(sign_name(static_cast<Sign>(i))) + "|";
    EXPECT_GT(name.size(), 3U);
    EXPECT_EQ(names.find("|" + name), std::string::npos) << name;
    names += name;
  }
}

TEST(ReadFeatures, ForComplexityReadLessAndTellTheSame) {
  const char* prompts[] = {
      "",
      "Hello!",
      "Who wrote Faust?",
      "Explain why the sky is blue, step by step, in 3000 words.",
      "- take 3 apples\n- and 4.5 pears, 17 plums\n- how many are they?\n```c\nint main() { return x->y; }\n```",
      "Traceback (most recent call last):\n  File \"a.py\", line 3\nTypeError: user_id is not defined",
      "Summarise:\n\n\"It was the best of times, it was the worst of times, it was the age of wisdom\"",
      "Напиши рассказ на 500 слов о программе `ls -la | grep x`.",
      "写一篇500字的文章，比较两种方法。",
      "$ systemctl status cron --no-pager /etc/cron.d 3 + 4",
  };
  for (const char* prompt : prompts) {
    SCOPED_TRACE(prompt);
    llm::Request request;
    request.messages = {{.speaker = llm::Speaker::user, .text = "def f(): pass"},
                        {.speaker = llm::Speaker::assistant, .text = "A function."},
                        {.speaker = llm::Speaker::user, .text = prompt}};
    const Features whole = read_features(request);
    const Features less = read_features(request, Reading::for_complexity);
    EXPECT_EQ(measure_complexity(less).score, measure_complexity(whole).score);
    EXPECT_EQ(expected_answer_tokens(less, measure_complexity(less)),
              expected_answer_tokens(whole, measure_complexity(whole)));
    EXPECT_EQ(less.prompt_tokens, whole.prompt_tokens);
  }
}

}  // namespace
}  // namespace gbgreg::routing
